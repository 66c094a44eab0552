/** Words from any of the models, at any time. */
import { useState } from 'preact/hooks';
import type { JSX } from 'preact';
import type { Voice } from '../../worker/tasks.ts';
import { act, begun, call, choose, isBusy, opened, settings } from '../lab.ts';
import { words } from '../words/index.ts';
import { NumberField } from './number-field.tsx';

export function Ask(): JSX.Element {
  const { prompt, tokens, temperature, seed } = settings.value;
  const [voice, setVoice] = useState<Voice>('lora');
  const [written, setWritten] = useState('');
  const there: Voice[] = begun.value
    ? begun.value.trained.full > 0
      ? ['lora', 'full', 'base']
      : ['lora', 'base']
    : ['base'];
  const speaker = there.includes(voice) ? voice : 'base';
  const write = async (): Promise<void> => {
    let all = prompt;
    setWritten(all);
    await act(words().writing, async (signal) =>
      call(
        'generate',
        { voice: speaker, prompt, tokens, temperature, seed },
        { signal, on: (piece) => setWritten((all += piece)) },
      ),
    );
  };
  return (
    <section class="card" aria-labelledby="ask">
      <h2 id="ask">{words().ask}</h2>
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          void write();
        }}
      >
        <span class="field wide">
          <label for="prompt">{words().prompt}</label>
          <input
            id="prompt"
            value={prompt}
            maxLength={500}
            required
            disabled={isBusy.value}
            onInput={({ currentTarget }) => choose({ prompt: currentTarget.value })}
          />
        </span>
        <span class="field">
          <label for="voice">{words().voice}</label>
          <select
            id="voice"
            value={speaker}
            disabled={isBusy.value}
            onChange={({ currentTarget }) => setVoice(currentTarget.value as Voice)}
          >
            {there.map((name) => (
              <option key={name} value={name}>
                {words().voices[name]}
              </option>
            ))}
          </select>
        </span>
        <NumberField field="tokens" disabled={isBusy.value} />
        <NumberField field="temperature" disabled={isBusy.value} />
        <button class="main" disabled={isBusy.value || !opened.value}>
          {words().write}
        </button>
      </form>
      <output class="written" aria-label={words().written}>
        {written}
      </output>
    </section>
  );
}
