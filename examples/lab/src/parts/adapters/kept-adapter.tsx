/** One kept adapter: how much of it speaks, and what can be made of it. */
import { useState } from 'preact/hooks';
import type { JSX } from 'preact';
import type { Kept, Made, Recipe } from '../../../worker/shelf-tasks.ts';
import { isBusy } from '../../lab.ts';
import { exportZip, freeName, make, only, remove, weigh, weights } from '../../shelf.ts';
import { NumberInput } from '../number-input.tsx';
import { bytes, number, words } from '../../words/index.ts';
import { Button } from '../button.tsx';

export function KeptAdapter({
  kept,
  onMade,
}: {
  readonly kept: Kept;
  readonly onMade: (of: Recipe, made: Made) => void;
}): JSX.Element {
  const { name, r, matrices, numbers } = kept;
  const [rank, setRank] = useState(Math.max(1, Math.floor(r / 2)));
  const weight = weights.value.get(name) ?? 0;
  const say = words().shelf;
  const busy = isBusy.value;
  const derive = async (wish: string, of: Recipe): Promise<void> => {
    const made = await make(freeName(wish.slice(0, 56)), of);
    if (made) onMade(of, made);
  };
  return (
    <li class="kept" aria-label={name}>
      <p>
        <b>{name}</b>{' '}
        <span class="quiet">
          {say.about(number(r), number(matrices), number(numbers), bytes(kept.bytes))}
        </span>
      </p>
      <div class="row">
        <label for={`weight-${name}`}>{say.weight}</label>
        <input
          id={`weight-${name}`}
          type="range"
          min="-2"
          max="2"
          step="0.1"
          value={weight}
          aria-label={say.weightOf(name)}
          aria-valuetext={number(weight)}
          disabled={busy}
          onInput={({ currentTarget }) => weigh(name, currentTarget.valueAsNumber)}
        />
        <output for={`weight-${name}`}>{number(weight)}</output>
        <button type="button" aria-label={say.aloneOf(name)} disabled={busy} onClick={() => only(name)}>
          {say.alone}
        </button>
      </div>
      <div class="row">
        <button
          type="button"
          aria-label={say.negateOf(name)}
          disabled={busy}
          onClick={() => void derive(`${name}-neg`, { negative: name })}
        >
          {say.negate}
        </button>
        <span class="row">
          <button
            type="button"
            aria-label={say.smallerOf(name, number(rank))}
            disabled={busy}
            onClick={() => void derive(`${name}-r${rank}`, { smaller: name, r: rank })}
          >
            {say.smaller}
          </button>
          <NumberInput
            class="short"
            limits={{ least: 1, most: r, whole: true }}
            value={rank}
            aria-label={say.rankOf(name)}
            disabled={busy}
            onValue={setRank}
          />
        </span>
        <button
          type="button"
          aria-label={say.exportOf(name)}
          disabled={busy}
          onClick={() => void exportZip(name)}
        >
          {say.export}
        </button>
        <Button
          type="button"
          aria-label={say.removeOf(name)}
          heir="kept-adapters"
          isOff={busy}
          onClick={() => confirm(say.sureRemove(name)) && void remove(name)}
        >
          {say.remove}
        </Button>
      </div>
    </li>
  );
}
