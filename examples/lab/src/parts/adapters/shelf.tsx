/** All kept adapters, and their blend. */
import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import type { Made, Recipe } from '../../../worker/shelf-tasks.ts';
import { isBusy } from '../../lab.ts';
import { blend, freeName, make, nameTrouble, only, remove, shelf } from '../../shelf.ts';
import { number, words } from '../../words/index.ts';
import { Button } from '../button.tsx';
import { CsvButton } from '../csv-button.tsx';
import { KeptAdapter } from './kept-adapter.tsx';
import { NameField } from './name-field.tsx';

/** W + 0.5 ΔW(poet) − ΔW(pirate). */
const blendText = (): string =>
  Object.entries(blend.value).reduce((sum, [name, weight]) => {
    const times = Math.abs(weight) === 1 ? '' : `${number(Math.abs(weight))} `;
    return `${sum} ${weight < 0 ? '−' : '+'} ${times}ΔW(${name})`;
  }, 'W');

// What stays while another view is open.
const last = signal<{ of: Recipe; made: Made } | undefined>(undefined);
const typed = signal<string | undefined>(undefined);

/** Whether what was made, and what it was made of, is there. */
const isStill = ({ of, made }: { of: Recipe; made: Made }): boolean => {
  const sources = 'sum' in of ? Object.keys(of.sum) : 'negative' in of ? [of.negative] : 'smaller' in of ? [of.smaller] : []; // prettier-ignore
  return [made.name, ...sources].every((name) => shelf.value.adapters.some((one) => one.name === name));
};

export function KeptAdapters(): JSX.Element {
  const say = words().shelf;
  const { adapters, broken } = shelf.value;
  const name = typed.value ?? freeName('blend');
  const isBlend = Object.keys(blend.value).length > 0;
  const onMade = (of: Recipe, made: Made): void => void (last.value = { of, made });
  const sum = async (): Promise<void> => {
    const of = { sum: blend.value };
    const made = await make(name, of);
    if (!made) return;
    onMade(of, made);
    typed.value = undefined;
  };
  return (
    <>
      <h3 id="kept-adapters" tabIndex={-1}>
        {say.title}
      </h3>
      {adapters.length === 0 && <p>{say.none}</p>}
      <ul class="shelf">
        {adapters.map((kept) => (
          <KeptAdapter key={kept.name} kept={kept} onMade={onMade} />
        ))}
        {broken.map(({ name: lost, reason }) => (
          <li key={lost} class="kept">
            <p>{say.broken(lost, reason)}</p>
            <Button
              type="button"
              heir="kept-adapters"
              isOff={isBusy.value}
              aria-label={say.removeOf(lost)}
              onClick={() => confirm(say.sureRemove(lost)) && void remove(lost)}
            >
              {say.remove}
            </Button>
          </li>
        ))}
      </ul>
      {adapters.length > 0 && (
        <form
          class="row"
          onSubmit={(event) => {
            event.preventDefault();
            void sum();
          }}
        >
          <p aria-live="polite">
            {say.inUse}: <b>{blendText()}</b>
          </p>
          <button type="button" disabled={isBusy.value || !isBlend} onClick={() => only()}>
            {say.baseAlone}
          </button>
          <NameField
            id="sum"
            label={say.sumAs}
            name={name}
            disabled={isBusy.value}
            onName={(next) => (typed.value = next)}
          />
          <button disabled={isBusy.value || !isBlend || nameTrouble(name) !== ''}>{say.sum}</button>
        </form>
      )}
      {last.value && isStill(last.value) && <Proof {...last.value} />}
    </>
  );
}

/** That what was made is what it should be. */
function Proof({ of, made }: { of: Recipe; made: Made }): JSX.Element {
  const say = words().shelf;
  const { name, same, lost = [] } = made;
  if (same) {
    const sentence = 'sum' in of ? say.sameSum : say.sameNegative;
    return <p class="verdict" role="note">{sentence(name, number(same.difference, 3), number(same.bound, 3))}</p>; // prettier-ignore
  }
  const sorted = [...lost].sort((a, b) => b.relative - a.relative);
  const percent = (share: number): string => `${number(100 * share, 3)} %`;
  return (
    <p class="verdict" role="note">
      {say.lost(name, percent(sorted[0].relative), sorted[0].path, percent(sorted.at(-1)!.relative))}{' '}
      <CsvButton
        name={say.lostTable}
        table={() => [
          [words().layer, '‖ΔW − ΔW_r‖ / ‖ΔW‖'],
          ...lost.map(({ path, relative }) => [path, relative]),
        ]}
      />
    </p>
  );
}
