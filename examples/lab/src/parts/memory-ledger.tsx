/** Where the memory of a step of training goes, with all weights and with LoRA. */
import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { LEDGER_LINES, type CountChoice, type LedgerChoice } from '../../worker/count-tasks.ts';
import { useCount } from '../counts.ts';
import { settings } from '../lab.ts';
import { bytes, number, words } from '../words/index.ts';
import { CsvButton } from './csv-button.tsx';
import { NumberField } from './number-field.tsx';

// What stays while another view is open.
const frozen = signal<LedgerChoice['frozen']>('f32');

export function MemoryLedger({ choice }: { readonly choice: CountChoice }): JSX.Element {
  const { batch, context } = settings.value;
  const { value, isOld } = useCount('ledger', { ...choice, batch, context, frozen: frozen.value });
  const { learners, formula } = words();
  const { memory } = formula;
  const most = value ? Math.max(value.full.peak, value.lora.peak) : 1;
  return (
    <section aria-busy={isOld}>
      <h3>{memory.title}</h3>
      <form class="row" onSubmit={(event) => event.preventDefault()}>
        <NumberField field="batch" />
        <NumberField field="context" />
        <span class="field">
          <label for="frozen-as">{memory.frozenAs}</label>
          <select
            id="frozen-as"
            value={frozen.value}
            onChange={({ currentTarget }) =>
              void (frozen.value = currentTarget.value as LedgerChoice['frozen'])
            }
          >
            <option>f32</option>
            <option>f16</option>
          </select>
        </span>
      </form>
      <div class="scroll">
        <table class="ledger">
          <caption>
            {memory.help}{' '}
            {value && (
              <CsvButton
                name={memory.title}
                table={() => [
                  [memory.what, `${learners.full}, B`, `${learners.lora}, B`],
                  ...LEDGER_LINES.map((line) => [memory.lines[line], value.full[line], value.lora[line]]),
                ]}
              />
            )}
          </caption>
          <thead>
            <tr>
              <th scope="col">{memory.what}</th>
              <th scope="col">{learners.full}</th>
              <th scope="col">{learners.lora}</th>
            </tr>
          </thead>
          <tbody>
            {LEDGER_LINES.map((line) => (
              <tr key={line} class={line === 'peak' ? 'sum' : undefined}>
                <th scope="row">{memory.lines[line]}</th>
                {([value?.full, value?.lora] as const).map((ledger, i) => (
                  <td key={i}>
                    <span class="bar" style={{ width: `${(100 * (ledger?.[line] ?? 0)) / most}%` }} />
                    {ledger ? bytes(ledger[line]) : '…'}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p aria-live="polite">
        {value && !isOld && memory.saved(number(value.full.peak / value.lora.peak, 3))}
      </p>
    </section>
  );
}
