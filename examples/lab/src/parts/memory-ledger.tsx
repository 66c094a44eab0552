/** Where the memory of a step of training goes, with all weights and with LoRA. */
import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import type { CountChoice, LedgerChoice } from '../../worker/count-tasks.ts';
import { useCount } from '../counts.ts';
import { settings } from '../lab.ts';
import { number, words } from '../words/index.ts';
import { LedgerTable } from './ledger-table.tsx';
import { NumberField } from './number-field.tsx';

// What stays while another view is open.
const frozen = signal<LedgerChoice['frozen']>('f32');

export function MemoryLedger({ choice }: { readonly choice: CountChoice }): JSX.Element {
  const { batch, context } = settings.value;
  const { value, isOld } = useCount('ledger', { ...choice, batch, context, frozen: frozen.value });
  const { learners, formula } = words();
  const { memory } = formula;
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
      <LedgerTable
        title={memory.title}
        help={memory.help}
        columns={[
          { name: learners.full, ledger: value?.full },
          { name: learners.lora, ledger: value?.lora },
        ]}
      />
      <p aria-live="polite">
        {value && !isOld && memory.saved(number(value.full.peak / value.lora.peak, 3))}
      </p>
    </section>
  );
}
