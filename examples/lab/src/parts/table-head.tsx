/** The line above the columns of a table. */
import type { JSX } from 'preact';

export const TableHead = ({ names }: { readonly names: readonly string[] }): JSX.Element => (
  <thead>
    <tr>
      {names.map((name) => (
        <th key={name} scope="col">
          {name}
        </th>
      ))}
    </tr>
  </thead>
);
