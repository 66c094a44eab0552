/** A number typed by hand: while it is not valid it stays as it was typed, is said to be wrong, and is not taken. */
import { useId, useState } from 'preact/hooks';
import type { JSX } from 'preact';
import { type Limits, numberWithin } from '../settings.ts';
import { number, words } from '../words/index.ts';

export interface NumberInputProps {
  readonly limits: Limits;
  readonly value: number;
  readonly onValue: (value: number) => void;
  readonly id?: string;
  readonly 'aria-label'?: string;
  readonly class?: string;
  readonly disabled?: boolean;
}

export function NumberInput({ limits, value, onValue, ...input }: NumberInputProps): JSX.Element {
  /** What stands in the field while somebody is at it: “0.0” is on its way to 0.002. */
  const [typed, setTyped] = useState<string | undefined>(undefined);
  const taken = typed === undefined ? undefined : numberWithin(limits, typed);
  const isWrong = typed !== undefined && taken === undefined;
  const id = useId();
  const { least, most, whole } = limits;
  return (
    <>
      <input
        {...input}
        type="number"
        min={least}
        max={most}
        required
        step={whole ? 1 : 'any'}
        value={isWrong || taken === value ? typed : String(value)}
        aria-invalid={isWrong}
        aria-describedby={isWrong ? id : undefined}
        onInput={({ currentTarget }) => {
          setTyped(currentTarget.value);
          const next = numberWithin(limits, currentTarget.value);
          if (next !== undefined) onValue(next);
        }}
        onBlur={() => !isWrong && setTyped(undefined)}
      />
      {isWrong && (
        <small id={id} role="alert">
          {words().invalid(number(least), number(most), whole)}
        </small>
      )}
    </>
  );
}
