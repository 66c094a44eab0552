/** A number that is dragged, or moved with the arrow keys. */
import { useId } from 'preact/hooks';
import type { JSX } from 'preact';
import { choose, settings } from '../lab.ts';
import { number, words } from '../words/index.ts';

export interface SliderProps {
  readonly field: 'r' | 'alpha';
  /** As far as it goes, unless what was chosen elsewhere lies beyond. */
  readonly most: number;
}

export function Slider({ field, most }: SliderProps): JSX.Element {
  const id = useId();
  const value = settings.value[field];
  return (
    <span class="field wide">
      <label for={id}>
        {words().fields[field]} <b>{number(value)}</b>
      </label>
      <input
        id={id}
        type="range"
        min={Math.min(1, value)}
        max={Math.max(most, value)}
        step={Number.isInteger(value) ? 1 : 'any'}
        value={value}
        onInput={({ currentTarget }) => choose({ [field]: Math.round(currentTarget.valueAsNumber) || value })}
      />
    </span>
  );
}
