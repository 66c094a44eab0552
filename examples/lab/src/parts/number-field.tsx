/** A number that is chosen: what is not valid is said, and not taken. */
import { useId, useState } from 'preact/hooks';
import type { JSX } from 'preact';
import { choose, settings } from '../lab.ts';
import { LIMITS, type NumberField as Field, numberOf } from '../settings.ts';
import { number, words } from '../words/index.ts';

export function NumberField({
  field,
  disabled = false,
}: {
  readonly field: Field;
  readonly disabled?: boolean;
}): JSX.Element {
  /** What was typed and is not valid. */
  const [wrong, setWrong] = useState<string | undefined>(undefined);
  const { least, most, whole } = LIMITS[field];
  const id = useId();
  return (
    <span class="field">
      <label for={id}>{words().fields[field]}</label>
      <input
        id={id}
        type="number"
        min={least}
        max={most}
        required
        step={whole ? 1 : 'any'}
        value={wrong ?? settings.value[field]}
        disabled={disabled}
        aria-invalid={wrong !== undefined}
        aria-describedby={wrong !== undefined ? `${id}-wrong` : undefined}
        onInput={({ currentTarget }) => {
          const value = numberOf(field, currentTarget.value);
          setWrong(value === undefined ? currentTarget.value : undefined);
          if (value !== undefined) choose({ [field]: value });
        }}
      />
      {wrong !== undefined && (
        <small id={`${id}-wrong`} role="alert">
          {words().invalid(number(least), number(most), whole)}
        </small>
      )}
    </span>
  );
}
