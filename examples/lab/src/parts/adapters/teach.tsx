/** Trains an adapter on a text, from its start to its name. */
import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { isBusy, opened, own, settings } from '../../lab.ts';
import { type Settings, STEPS, TEXTS } from '../../settings.ts';
import { freeName, nameTrouble, teach, type Taught } from '../../shelf.ts';
import { number, words } from '../../words/index.ts';
import { NumberInput } from '../number-input.tsx';
import { NameField } from './name-field.tsx';

// What stays while another view is open.
const chosen = signal<Settings['text']>('moby-dick');
const typed = signal<string | undefined>(undefined);
const count = signal(60);
const last = signal<Taught | undefined>(undefined);

export function Teach(): JSX.Element {
  const text = chosen.value;
  const taught = last.value;
  const { r, alpha, targets, lr } = settings.value;
  const say = words().shelf;
  const name = typed.value ?? freeName(text);
  const go = async (): Promise<void> => {
    last.value = undefined;
    await teach(name, text, count.value, (news) => (last.value = news));
    typed.value = undefined;
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void go();
      }}
    >
      <div class="row">
        <span class="field">
          <label for="teach-text">{words().text}</label>
          <select
            id="teach-text"
            value={text}
            disabled={isBusy.value}
            onChange={({ currentTarget }) => void (chosen.value = currentTarget.value as Settings['text'])}
          >
            {TEXTS.map((one) => (
              <option key={one} value={one} disabled={one === 'own' && own.value === ''}>
                {words().texts[one]}
                {one === 'own' && own.value === '' && ` (${say.noOwn})`}
              </option>
            ))}
          </select>
        </span>
        <NameField
          id="teach-name"
          label={say.name}
          name={name}
          disabled={isBusy.value}
          onName={(next) => (typed.value = next)}
        />
        <span class="field">
          <label for="teach-count">{words().steps}</label>
          <NumberInput
            id="teach-count"
            limits={STEPS}
            value={count.value}
            disabled={isBusy.value}
            onValue={(value) => void (count.value = value)}
          />
        </span>
        <button class="main" disabled={isBusy.value || !opened.value || nameTrouble(name) !== ''}>
          {say.teach}
        </button>
      </div>
      <p class="quiet">{say.teachHelp(number(r), number(alpha), targets.join(', '), number(lr))}</p>
      {taught && (
        <p aria-live="off">{say.taught(number(taught.step), number(taught.steps), number(taught.loss, 3))}</p>
      )}
    </form>
  );
}
