/** What the adapter is made of. */
import { useState } from 'preact/hooks';
import type { JSX } from 'preact';
import { choose, settings } from '../lab.ts';
import { TARGETS } from '../settings.ts';
import { words } from '../words/index.ts';
import { NumberField } from './number-field.tsx';

export function AdapterFields({ disabled }: { readonly disabled: boolean }): JSX.Element {
  return (
    <>
      <NumberField field="r" disabled={disabled} />
      <NumberField field="alpha" disabled={disabled} />
      <NumberField field="seed" disabled={disabled} />
      <TargetFields disabled={disabled} />
    </>
  );
}

export function TargetFields({ disabled }: { readonly disabled: boolean }): JSX.Element {
  const { targets } = settings.value;
  /** Whether the last one was to go: an adapter of nothing is none. */
  const [isRefused, setRefused] = useState(false);
  return (
    <fieldset class="field" disabled={disabled}>
      <legend>{words().targets}</legend>
      {TARGETS.map((name) => (
        <label key={name}>
          <input
            type="checkbox"
            checked={targets.includes(name)}
            onChange={({ currentTarget }) => {
              const next = TARGETS.filter((t) => (t === name ? currentTarget.checked : targets.includes(t)));
              setRefused(next.length === 0);
              if (next.length > 0) choose({ targets: next });
              else currentTarget.checked = true;
            }}
          />
          {name}
        </label>
      ))}
      {isRefused && <small role="alert">{words().targetsNone}</small>}
    </fieldset>
  );
}
