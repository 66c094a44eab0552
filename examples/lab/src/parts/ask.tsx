/** Words from any of the models, at any time. */
import { useState } from 'preact/hooks';
import type { JSX } from 'preact';
import type { Learner, Speaker } from '../../worker/tasks.ts';
import { act, begun, call, canPause, choose, isBusy, meanwhile, opened, settings } from '../lab.ts';
import { blend, shelf } from '../shelf.ts';
import { isBroken } from '../legible.ts';
import { words } from '../words/index.ts';
import { Button } from './button.tsx';
import { NumberField } from './number-field.tsx';
import { Written } from './written.tsx';

const BLEND = '+';

export function Ask(): JSX.Element {
  const { prompt, tokens, temperature, seed } = settings.value;
  /** A learner, a kept adapter with a colon before its name, or the blend of them. */
  const [voice, setVoice] = useState('lora');
  const [written, setWritten] = useState('');
  const there: Learner[] = begun.value
    ? begun.value.trained.full > 0
      ? ['lora', 'full', 'base']
      : ['lora', 'base']
    : ['base'];
  const kept = shelf.value.adapters.map(({ name }) => name);
  const all = [...there, ...kept.map((name) => `:${name}`), ...(kept.length > 0 ? [BLEND] : [])];
  const chosen = all.includes(voice) ? voice : 'base';
  const speaker = (): Speaker =>
    chosen === BLEND
      ? { weights: blend.value }
      : chosen.startsWith(':')
        ? { weights: { [chosen.slice(1)]: 1 } }
        : (chosen as Learner);
  const isWaiting = isBusy.value && !canPause.value;
  const write = async (): Promise<void> => {
    let text = prompt;
    setWritten(text);
    await act(words().writing, async (signal) =>
      call(
        'generate',
        { voice: speaker(), prompt, tokens, temperature, seed },
        { signal, on: (piece) => setWritten((text += piece)) },
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
          void meanwhile(write);
        }}
      >
        <span class="field wide">
          <label for="prompt">{words().prompt}</label>
          <input
            id="prompt"
            value={prompt}
            maxLength={500}
            required
            readOnly={isWaiting}
            onInput={({ currentTarget }) => choose({ prompt: currentTarget.value })}
          />
        </span>
        <span class="field">
          <label for="voice">{words().voice}</label>
          <select
            id="voice"
            value={chosen}
            disabled={isWaiting}
            onChange={({ currentTarget }) => setVoice(currentTarget.value)}
          >
            {there.map((name) => (
              <option key={name} value={name}>
                {words().voices[name]}
              </option>
            ))}
            {kept.length > 0 && (
              <optgroup label={words().shelf.title}>
                {kept.map((name) => (
                  <option key={name} value={`:${name}`}>
                    {name}
                  </option>
                ))}
                <option value={BLEND}>{words().shelf.blend}</option>
              </optgroup>
            )}
          </select>
        </span>
        <NumberField field="tokens" disabled={isWaiting} />
        <NumberField field="temperature" disabled={isWaiting} />
        <Button class="main" isOff={isWaiting || !opened.value}>
          {words().write}
        </Button>
      </form>
      {canPause.value && <p class="quiet">{words().askPauses}</p>}
      <Written text={written} />
      {written !== '' && <p class="quiet">{words().sameSeed}</p>}
      {isBroken(written) && <p class="quiet">{words().unreadable}</p>}
    </section>
  );
}
