/** The page's state, and the one door to its worker. */
import { computed, effect, signal } from '@preact/signals';
import type { DeviceName } from 'bax';
import { connect } from '../../app/calls.ts';
import type { Begun, Opened, Tasks, TextRead } from '../worker/tasks.ts';
import { keep, kept } from './kept.ts';
import { queryOf, type Settings, settingsOf } from './settings.ts';
import { words } from './words/index.ts';

export const call = connect<Tasks>(
  new Worker(new URL('../worker/worker.ts', import.meta.url), { type: 'module' }),
);

// ── where one is, and what is chosen: the address has both, #/training?r=4
const VIEWS = ['formula', 'steps', 'training', 'learned', 'merged'] as const;
export type ViewName = (typeof VIEWS)[number];
function addressed(): { view: ViewName; query: URLSearchParams } {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const view = VIEWS.find((name) => name === path) ?? VIEWS[0];
  return { view, query: new URLSearchParams(query) };
}
const first = addressed();
const remembered = new URLSearchParams(kept('settings') ?? '');
export const view = signal<ViewName>(first.view);
export const settings = signal<Settings>(settingsOf(first.query.size > 0 ? first.query : remembered));
export const choose = (some: Partial<Settings>): void =>
  void (settings.value = { ...settings.value, ...some });
export const hrefOf = (name: ViewName): string => {
  const query = String(queryOf(settings.value));
  return `#/${name}${query && `?${query}`}`;
};
effect(() => {
  keep('settings', String(queryOf(settings.value)));
  history.replaceState(null, '', hrefOf(view.value));
});
addEventListener('hashchange', () => {
  const { view: next, query } = addressed();
  view.value = next;
  if (query.size > 0) settings.value = settingsOf(query);
});

// ── what the worker has
export const opened = signal<Opened | undefined>(undefined);
export const text = signal<TextRead | undefined>(undefined);
/** A text of the user's own. */
export const own = signal<string>(kept('own') ?? '');
export const begun = signal<Begun | undefined>(undefined);

// ── what goes on
export interface Activity {
  readonly what: string;
  readonly stop: AbortController;
}
export const activity = signal<Activity | undefined>(undefined);
export const isBusy = computed(() => activity.value !== undefined);
/** Of what is done, 0 to 1. */
export const progress = signal<number | undefined>(undefined);
export const status = signal('');
export const trouble = signal('');

/** Runs one task with everything else at rest; says how it ends. What goes wrong is shown, and gives undefined. */
export async function act<T>(what: string, f: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
  if (activity.value) return undefined;
  const stop = new AbortController();
  activity.value = { what, stop };
  trouble.value = '';
  status.value = words().doing(what);
  try {
    const result = await f(stop.signal);
    status.value = stop.signal.aborted ? words().stopped(what) : words().done(what);
    return result;
  } catch (error) {
    status.value = stop.signal.aborted ? words().stopped(what) : words().failed(what);
    if (!stop.signal.aborted) trouble.value = error instanceof Error ? error.message : String(error);
    return undefined;
  } finally {
    activity.value = undefined;
    progress.value = undefined;
  }
}

/** When nothing goes on. */
export const idle = async (): Promise<void> =>
  new Promise((resolve) => {
    const stop = activity.subscribe((one) => one ?? setTimeout(() => (stop(), resolve())));
  });

/** Loads the model and then the text. */
export async function open(): Promise<void> {
  const query = new URLSearchParams(location.search);
  opened.value = await act(words().loadingModel, async (signal) =>
    call(
      'open',
      {
        home: document.baseURI,
        // `?device=wasm` chooses where to compute; `?device=webgpu&software` also takes a GPU that is none, for tests.
        device: (query.get('device') ?? 'auto') as DeviceName,
        software: query.has('software'),
      },
      { signal, on: ({ done, total }) => void (progress.value = done / total) },
    ),
  );
  if (opened.value) await read();
}

/** Reads the chosen text; what was learned of another one goes. */
export async function read(): Promise<boolean> {
  const { text: choice } = settings.value;
  const give = choice === 'own' ? { own: own.value } : { shipped: choice };
  const next = await act(words().readingText, async () => call('read', give));
  if (!next) return false;
  text.value = next;
  return true;
}
