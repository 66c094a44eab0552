/** Which text is learned: one that comes with the lab, or one's own. */
import { useEffect, useState } from 'preact/hooks';
import type { JSX } from 'preact';
import { keep } from '../kept.ts';
import { choose, idle, isBusy, opened, own, read, settings, text, textInUse, trouble } from '../lab.ts';
import { mayEnd, resume } from '../run.ts';
import { TEXTS, type Settings } from '../settings.ts';
import { bytes, number, words } from '../words/index.ts';

const LARGEST_FILE = 8_000_000;

export function TextChoice(): JSX.Element {
  const [draft, setDraft] = useState(own.value);
  const { text: choice } = settings.value;
  const useOwn = async (): Promise<void> => {
    if (!mayEnd()) return;
    const before = own.value;
    own.value = draft;
    if (!(await read(resume))) own.value = before;
    else if (!keep('own', draft)) {
      keep('own', undefined); // not the one before: that would be learned on the next visit
      trouble.value = words().ownNotKept;
    }
  };
  // By whatever it was chosen: here, or in the address. One's own is used when that is said.
  useEffect(() => {
    if (!opened.value || textInUse.value === choice || choice === 'own') return;
    void idle().then(async () => {
      if (settings.value.text !== choice) return;
      if (mayEnd()) await read(resume);
      else if (textInUse.value) choose({ text: textInUse.value });
    });
  }, [choice]);
  const openFile = async (file: File | undefined): Promise<void> => {
    if (!file) return;
    trouble.value = '';
    if (file.size > LARGEST_FILE) return void (trouble.value = words().fileTooLarge(bytes(file.size)));
    try {
      const found = new TextDecoder('utf-8', { fatal: true }).decode(await file.arrayBuffer());
      if (found.includes('\0')) throw new TypeError('binary');
      setDraft(found);
    } catch {
      trouble.value = words().notText;
    }
  };
  const found = text.value;
  return (
    <section class="card" aria-label={words().corpus}>
      <div class="row">
        <span class="field">
          <label for="text">{words().text}</label>
          <select
            id="text"
            value={choice}
            disabled={isBusy.value}
            onChange={({ currentTarget }) => choose({ text: currentTarget.value as Settings['text'] })}
          >
            {TEXTS.map((name) => (
              <option key={name} value={name}>
                {words().texts[name]}
              </option>
            ))}
          </select>
        </span>
        <p class="quiet" id="text-read">
          {textInUse.value && textInUse.value !== choice && (
            <b role="note">{words().notUsedYet(words().texts[textInUse.value])} </b>
          )}
          {found && words().textRead(number(found.tokens), number(found.heldOut), number(found.characters))}
          {found && found.tokens > found.characters && ` ${words().oddScript}`}
        </p>
      </div>
      {choice === 'own' && (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            void useOwn();
          }}
        >
          <label for="own">{words().ownText}</label>
          <textarea
            id="own"
            rows={5}
            value={draft}
            disabled={isBusy.value}
            onInput={({ currentTarget }) => setDraft(currentTarget.value)}
          />
          <div class="row">
            <label for="file">{words().ownFile}</label>
            <input
              id="file"
              type="file"
              accept=".txt,.md,text/*"
              disabled={isBusy.value}
              onChange={({ currentTarget }) => void openFile(currentTarget.files?.[0])}
            />
            <button class="main" disabled={isBusy.value || draft.trim() === ''}>
              {words().useText}
            </button>
          </div>
        </form>
      )}
    </section>
  );
}
