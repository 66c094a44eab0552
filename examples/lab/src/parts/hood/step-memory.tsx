/** Where the memory of this very step is, and which results the tape keeps for the way back. */
import type { JSX } from 'preact';
import type { Tape } from '../../../worker/hood-tasks.ts';
import { bytes, number, words } from '../../words/index.ts';
import { CsvButton } from '../csv-button.tsx';
import { LedgerTable } from '../ledger-table.tsx';
import { TableHead } from '../table-head.tsx';

export function StepMemory({ tape: { memory } }: { readonly tape: Tape }): JSX.Element {
  const { hood, learners } = words();
  const { kept } = memory;
  return (
    <section>
      <h3>{hood.memoryTitle}</h3>
      <LedgerTable
        title={hood.memoryTitle}
        help={hood.memoryHelp}
        columns={[{ name: learners.lora, ledger: memory }]}
      />
      <div class="scroll tall" tabIndex={0} role="region" aria-label={hood.keptTitle}>
        <table class="wrapping">
          <caption>
            {hood.keptTitle}{' '}
            <CsvButton
              name={hood.keptTitle}
              table={() => [hood.keptHead, ...kept.map((one) => [one.op, one.path, one.tensors, one.bytes])]}
            />
          </caption>
          <TableHead names={hood.keptHead} />
          <tbody>
            {kept.map((one) => (
              <tr key={`${one.op} ${one.path}`}>
                <th scope="row">{one.op}</th>
                <td>{one.path}</td>
                <td>{number(one.tensors)}</td>
                <td class="share">
                  <span style={{ width: `${(100 * one.bytes) / memory.activations}%` }} />
                  {bytes(one.bytes)}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
