/** What learned in the Training view: kept under a name, or taken home. */
import { useState } from 'preact/hooks';
import type { JSX } from 'preact';
import { isBusy, settings } from '../../lab.ts';
import { steps } from '../../run.ts';
import { exportZip, freeName, make, nameTrouble } from '../../shelf.ts';
import { number, words } from '../../words/index.ts';
import { NameField } from './name-field.tsx';

/** `id` tells apart the places where it stands. */
export function KeepLearned({ id }: { readonly id: string }): JSX.Element | null {
  const [typed, setTyped] = useState<string | undefined>(undefined);
  if (steps.value.length === 0) return null;
  const say = words().shelf;
  const name = typed ?? freeName(settings.value.text);
  const isOff = isBusy.value || nameTrouble(name) !== '';
  const keep = async (): Promise<void> => {
    if (await make(name, { learned: true })) setTyped(undefined);
  };
  return (
    <form
      class="row"
      onSubmit={(event) => {
        event.preventDefault();
        void keep();
      }}
    >
      <p>{say.learned(number(steps.value.at(-1)!.step + 1))}</p>
      <NameField id={`keep-${id}`} label={say.keepAs} name={name} disabled={isBusy.value} onName={setTyped} />
      <button disabled={isOff}>{say.keep}</button>
      <button type="button" disabled={isOff} onClick={() => void exportZip(name, true)}>
        {say.export}
      </button>
      <p class="quiet">{say.exportHelp}</p>
    </form>
  );
}
