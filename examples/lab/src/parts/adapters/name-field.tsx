/** A name for a new adapter: one that nobody has. */
import type { JSX } from 'preact';
import { nameTrouble } from '../../shelf.ts';

export function NameField({
  id,
  label,
  name,
  disabled,
  onName,
}: {
  readonly id: string;
  readonly label: string;
  readonly name: string;
  readonly disabled: boolean;
  readonly onName: (name: string) => void;
}): JSX.Element {
  const wrong = name === '' ? '' : nameTrouble(name);
  return (
    <span class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        value={name}
        required
        maxLength={60}
        autocomplete="off"
        spellcheck={false}
        disabled={disabled}
        aria-invalid={wrong !== ''}
        aria-describedby={wrong ? `${id}-wrong` : undefined}
        onInput={({ currentTarget }) => onName(currentTarget.value)}
      />
      {wrong && (
        <small id={`${id}-wrong`} role="alert">
          {wrong}
        </small>
      )}
    </span>
  );
}
