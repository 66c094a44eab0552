/** The frame: what is above and below the seven views. */
import { useEffect, useState } from 'preact/hooks';
import type { JSX } from 'preact';
import { theme, type Theme } from './colours.ts';
import { isOffline } from './home.ts';
import { canKeep } from './kept.ts';
import {
  activity, hrefOf, isLost, notKept, open, opened, progress, reopen, settings, status, trouble, view, type ViewName, visit,
} from './lab.ts'; // prettier-ignore
import { Ask } from './parts/ask.tsx';
import { TextChoice } from './parts/text-choice.tsx';
import { leave, resume } from './run.ts';
import { lookAtShelf } from './shelf.ts';
import { Adapters } from './views/adapters.tsx';
import { FirstSteps } from './views/first-steps.tsx';
import { Formula } from './views/formula.tsx';
import { Hood } from './views/hood.tsx';
import { Learned } from './views/learned.tsx';
import { Merged } from './views/merged.tsx';
import { Training } from './views/training.tsx';
import { bytes, language, type Language, LANGUAGES, number, speak, words } from './words/index.ts';

const VIEWS: Readonly<Record<ViewName, () => JSX.Element>> = {
  formula: Formula,
  steps: FirstSteps,
  training: Training,
  learned: Learned,
  merged: Merged,
  adapters: Adapters,
  hood: Hood,
};

/** What this browser keeps, which comes with the text. */
const takeKept = async (): Promise<void> => void (await Promise.all([lookAtShelf(), resume()]));
async function startAnew(device: 'wasm' | 'webgpu'): Promise<void> {
  leave();
  await reopen(takeKept, device);
}
/** For somebody else, or for oneself on another day: whoever opens it has these choices, though they kept others. */
async function copyLink(): Promise<void> {
  const { origin, pathname, search } = location;
  const query = hrefOf(view.value).includes('?') ? '' : `?text=${settings.value.text}`;
  try {
    await navigator.clipboard.writeText(origin + pathname + search + hrefOf(view.value) + query);
    status.value = words().linkCopied;
  } catch {
    status.value = words().linkNotCopied;
  }
}

export function App(): JSX.Element {
  const [isKeeping] = useState(canKeep);
  useEffect(() => void open(takeKept), []);
  useEffect(() => {
    document.documentElement.lang = language.value;
    document.title = `${words().views[view.value].name} · ${words().title}`;
  }, [language.value, view.value]);
  const model = opened.value;
  const isWithoutGpu = model?.device.startsWith('webgpu') === false;
  const View = VIEWS[view.value];
  return (
    <>
      <a
        class="skip"
        href={`#view-${view.value}`}
        onClick={(event) => {
          event.preventDefault();
          document.getElementById(`view-${view.value}`)?.focus();
        }}
      >
        {words().toContent}
      </a>
      <header>
        <div>
          <h1>{words().title}</h1>
          <p>{words().subtitle}</p>
        </div>
        <form class="row">
          <label for="language">{words().language}</label>
          <select
            id="language"
            value={language.value}
            onChange={({ currentTarget }) => speak(currentTarget.value as Language)}
          >
            {Object.entries(LANGUAGES).map(([code, name]) => (
              <option key={code} value={code}>
                {name}
              </option>
            ))}
          </select>
          <label for="theme">{words().theme}</label>
          <select
            id="theme"
            value={theme.value}
            onChange={({ currentTarget }) => void (theme.value = currentTarget.value as Theme)}
          >
            {(['auto', 'light', 'dark'] as const).map((name) => (
              <option key={name} value={name}>
                {words().themes[name]}
              </option>
            ))}
          </select>
        </form>
        <p class="quiet" id="model">
          {model
            ? words().model(number(model.parameters), bytes(model.bytes), model.device)
            : words().notLoaded}
          {model && ` ${words().knows}`}
          {isWithoutGpu && ` ${words().noGpu}`}
          {!isKeeping && ` ${words().notKept}`}
          {notKept.value?.notKept === 'refused' &&
            ` ${location.protocol === 'file:' ? words().fromDisk : words().notStored(notKept.value.reason)}`}
          {notKept.value?.notKept === 'otherTab' && ` ${words().otherTab}`}
        </p>
        {isWithoutGpu && (
          <details class="quiet">
            <summary>{words().useGpu}</summary>
            {words().howGpu}
            {model.why && <p lang="en">{model.why}</p>}
          </details>
        )}
      </header>
      {isLost.value && (
        <div class="trouble" role="alert">
          <p>{words().lost}</p>
          <button type="button" onClick={() => void startAnew('wasm')}>
            {words().onWasm}
          </button>{' '}
          <button type="button" onClick={() => void startAnew('webgpu')}>
            {words().onGpu}
          </button>
        </div>
      )}
      {trouble.value && (
        <div class="trouble" role="alert">
          <p>{trouble.value}</p>
          {model ? (
            <button type="button" onClick={() => void (trouble.value = '')}>
              {words().close}
            </button>
          ) : (
            <button type="button" onClick={() => void open(takeKept)}>
              {words().tryAgain}
            </button>
          )}
        </div>
      )}
      <TextChoice />
      <nav aria-label={words().viewsLabel}>
        <ul>
          {(Object.keys(VIEWS) as ViewName[]).map((name) => (
            <li key={name}>
              <a
                href={hrefOf(name)}
                aria-current={view.value === name ? 'page' : undefined}
                onClick={(event) => {
                  if (event.ctrlKey || event.metaKey || event.shiftKey) return; // into another tab
                  event.preventDefault();
                  visit(name);
                }}
              >
                {words().views[name].name}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <main>
        <View />
        <p class="row home">
          <button type="button" onClick={() => void copyLink()}>
            {words().link}
          </button>
          {!isOffline && (
            <a href="./bax-lab.zip" download>
              {words().takeHome}
            </a>
          )}
        </p>
      </main>
      <Ask />
      <footer>
        <p role="status">{status.value}</p>
        {progress.value !== undefined && (
          <progress value={progress.value} max={1} aria-label={status.value} />
        )}
        {activity.value?.canStop && (
          <button type="button" onClick={() => activity.value?.stop.abort()}>
            {words().stop}
          </button>
        )}
      </footer>
    </>
  );
}
