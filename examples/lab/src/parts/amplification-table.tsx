/** The paper's Table 7 for one matrix of the lab. */
import type { JSX } from 'preact';
import type { Learned } from '../../worker/learned-tasks.ts';
import { number, words } from '../words/index.ts';
import { CsvButton } from './csv-button.tsx';
import { SourceLink } from './source-link.tsx';
import { TableHead } from './table-head.tsx';

const LINES = ['weight', 'delta', 'ofDelta', 'ofWeight', 'random', 'randomExpected', 'factor', 'factorUnscaled'] as const; // prettier-ignore

export function AmplificationTable({ found }: { readonly found: Learned }): JSX.Element {
  const { amplification: said } = words().learned;
  const adapters = [found.lora, ...(found.other ? [found.other] : [])];
  const head = [said.what, ...adapters.map(({ r, seed }) => said.of(r, seed))];
  const rows = LINES.map((line) => ({
    name: said[line],
    values: found.amplifications.map(({ projected, ...one }) => ({ ...one, ...projected })[line]),
  }));
  const [{ factor, projected }] = found.amplifications;
  return (
    <section>
      <h3>{said.title}</h3>
      <p>
        {said.help} <SourceLink name="amplification">{words().source}</SourceLink>
      </p>
      {factor !== undefined && projected.ofDelta !== undefined && (
        <p class="verdict" role="note">
          {said.verdict(number(factor, 3), number(projected.ofDelta / projected.randomExpected, 3))}
        </p>
      )}
      <div class="scroll" tabIndex={0} role="region" aria-label={said.title}>
        <table>
          <caption>
            {found.path}{' '}
            <CsvButton
              name={said.title}
              table={() => [head, ...rows.map(({ name, values }) => [name, ...values.map((x) => x ?? '')])]}
            />
          </caption>
          <TableHead names={head} />
          <tbody>
            {rows.map(({ name, values }) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                {values.map((x, i) => (
                  <td key={i}>{x === undefined ? said.none : number(x, 4)}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
