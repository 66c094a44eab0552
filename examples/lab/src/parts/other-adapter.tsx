/** Another adapter, trained on the same batches: how many of its directions are those of the first? */
import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import type { Learned } from '../../worker/learned-tasks.ts';
import { act, call, isBusy, progress, settings } from '../lab.ts';
import { number, words } from '../words/index.ts';
import { HeatMap } from './heat-map.tsx';
import { NumberField } from './number-field.tsx';
import { SourceLink } from './source-link.tsx';

// What stays while another view is open.
const directions = signal<'A' | 'delta'>('A');

export function OtherAdapter({
  found,
  onTrained,
}: {
  readonly found: Learned;
  readonly onTrained: () => void;
}): JSX.Element {
  const { other: said } = words().learned;
  const { otherR: r, otherSeed: seed } = settings.value;
  const isSame = seed === found.lora.seed;
  const train = async (): Promise<void> => {
    const result = await act(said.training, async (signal) =>
      call('other', { r, seed }, { signal, on: ({ done, total }) => void (progress.value = done / total) }),
    );
    if (result?.isDone) onTrained();
  };
  return (
    <section>
      <h3>{said.title}</h3>
      <p>
        {said.help} <SourceLink name="similarity">{words().source}</SourceLink>
      </p>
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          void train();
        }}
      >
        <NumberField field="otherR" disabled={isBusy.value} />
        <NumberField field="otherSeed" disabled={isBusy.value} />
        <button class="main" disabled={isBusy.value || isSame}>
          {said.train}
        </button>
      </form>
      {isSame && <p role="alert">{said.seed(seed)}</p>}
      {found.other && <Grids found={found} other={found.other} />}
    </section>
  );
}

function Grids({
  found,
  other,
}: {
  readonly found: Learned;
  readonly other: NonNullable<Learned['other']>;
}): JSX.Element {
  const of = directions.value;
  const { other: said } = words().learned;
  const { phi, random } = other[of];
  const show = (x: number): string => (Number.isNaN(x) ? said.undetermined : number(x, 3));
  const map = (name: string, numbers: typeof phi): JSX.Element => (
    <HeatMap
      name={name}
      numbers={numbers}
      atScale
      largest={1}
      says={said.says(show(numbers.data[0]), show(numbers.data.at(-1)!))}
      cell={(i, j, value) => said.cell('φ', i + 1, j + 1, show(value))}
    />
  );
  return (
    <>
      <span class="field short">
        <label for="directions">{said.directions}</label>
        <select
          id="directions"
          value={of}
          onChange={({ currentTarget }) => void (directions.value = currentTarget.value as 'A' | 'delta')}
        >
          <option value="A">{said.choices.A}</option>
          <option value="delta">{said.choices.delta}</option>
        </select>
      </span>
      <p class="verdict" aria-live="polite">
        {said.verdict(show(phi.data[0]), show(random.data[0]))}
      </p>
      <div class="maps">
        {map(said.measured, phi)}
        {map(said.random, random)}
      </div>
      <p class="quiet">
        {said.sides(found.lora.r, found.lora.seed, other.r, other.seed)} {said.scale}
      </p>
    </>
  );
}
