/** A number that is chosen, with its name. */
import { useId } from 'preact/hooks';
import type { JSX } from 'preact';
import { choose, settings } from '../lab.ts';
import { LIMITS, type NumberField as Field } from '../settings.ts';
import { words } from '../words/index.ts';
import { NumberInput } from './number-input.tsx';

export function NumberField({
  field,
  disabled = false,
}: {
  readonly field: Field;
  readonly disabled?: boolean;
}): JSX.Element {
  const id = useId();
  return (
    <span class="field">
      <label for={id}>{words().fields[field]}</label>
      <NumberInput
        id={id}
        limits={LIMITS[field]}
        value={settings.value[field]}
        disabled={disabled}
        onValue={(value) => choose({ [field]: value })}
      />
    </span>
  );
}
