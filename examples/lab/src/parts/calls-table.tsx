/** What a forward pass asks of a device: of the base, with the adapter beside it, and merged. */
import type { JSX } from 'preact';
import type { Dispatched, MergedProof, Ran } from '../../worker/tasks.ts';
import { number, words } from '../words/index.ts';
import { CsvButton } from './csv-button.tsx';
import { kernelName } from './hood/kernel-name.ts';
import { TableHead } from './table-head.tsx';

const same = (a: readonly (Ran | Dispatched)[], b: readonly (Ran | Dispatched)[]): boolean =>
  JSON.stringify(a) === JSON.stringify(b);
const kernelsIn = (calls: readonly Dispatched[]): string =>
  number(calls.reduce((n, { kernels }) => n + kernels.length, 0));

export interface CallsTableProps extends Pick<MergedProof, 'ran' | 'given'> {
  readonly isMerged: boolean;
}

export function CallsTable({ ran, given, isMerged }: CallsTableProps): JSX.Element {
  const isSame = same(ran.merged, ran.base) && same(given.merged, given.base);
  const shown = isMerged ? given.merged : given.unmerged;
  const own = new Set(given.base.map((call) => JSON.stringify(call)));
  return (
    <>
      <h3>
        {words().ran}{' '}
        <CsvButton
          name={words().ran}
          table={() => [
            [words().table.model, words().operation, words().place, words().shapes, words().kernels],
            ...(['base', 'unmerged', 'merged'] as const).flatMap((which) =>
              given[which].map(({ op, path, shapes, kernels }) => [words().givenTo[which], op, path, shapes, kernels.map(kernelName).join(' ')]),
            ),
          ]}
        />
      </h3>
      <p>
        {words().ranCount(kernelsIn(given.base), kernelsIn(given.unmerged), kernelsIn(given.merged))}{' '}
        <b>{isSame ? words().ranSame(number(ran.merged.length)) : words().ranDiffer}</b>
      </p>
      <div class="scroll tall" tabIndex={0} role="region" aria-label={words().ran}>
        <table>
          <TableHead names={[words().operation, words().place, words().shapes, words().kernels]} />
          <tbody>
            {shown.map((call, i) => (
              <tr key={i} class={own.has(JSON.stringify(call)) ? undefined : 'added'}>
                <td>
                  <code>{call.op}</code>
                </td>
                <td>{call.path}</td>
                <td>{call.shapes}</td>
                <td>{call.kernels.map(kernelName).join(', ')}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
} // prettier-ignore
