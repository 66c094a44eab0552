/** Where memory goes, line by line, of one kind of training or several. */
import type { JSX } from 'preact';
import { LEDGER_LINES, type Ledger } from '../../worker/count-tasks.ts';
import { bytes, words } from '../words/index.ts';
import { CsvButton } from './csv-button.tsx';

export interface LedgerTableProps {
  readonly title: string;
  readonly help: string;
  readonly columns: readonly { readonly name: string; readonly ledger: Ledger | undefined }[];
}

export function LedgerTable({ title, help, columns }: LedgerTableProps): JSX.Element {
  const { memory } = words().formula;
  const most = Math.max(1, ...columns.map(({ ledger }) => ledger?.peak ?? 1));
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={title}>
      <table class="ledger">
        <caption>
          {help}{' '}
          {columns.every(({ ledger }) => ledger) && (
            <CsvButton
              name={title}
              table={() => [
                [memory.what, ...columns.map(({ name }) => `${name}, B`)],
                ...LEDGER_LINES.map((line) => [
                  memory.lines[line],
                  ...columns.map(({ ledger }) => ledger![line]),
                ]),
              ]}
            />
          )}
        </caption>
        <thead>
          <tr>
            <th scope="col">{memory.what}</th>
            {columns.map(({ name }) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {LEDGER_LINES.map((line) => (
            <tr key={line} class={line === 'peak' ? 'sum' : undefined}>
              <th scope="row">{memory.lines[line]}</th>
              {columns.map(({ name, ledger }) => (
                <td key={name}>
                  <span class="bar" style={{ width: `${(100 * (ledger?.[line] ?? 0)) / most}%` }} />
                  {ledger ? bytes(ledger[line]) : '…'}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
