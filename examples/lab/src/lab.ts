/** The page's state, and the one door to its worker. */
import { computed, effect, signal } from '@preact/signals';
import type { DeviceName } from 'bax';
import { type Call, connect, STOPPED, TaskError } from '../../app/calls.ts';
// oxlint-disable-next-line import/default -- Vite makes it
import LabWorker from '../worker/worker.ts?worker';
import type { Begun, Opened, Tasks, TextRead } from '../worker/tasks.ts';
import type { NotKept } from '../worker/shelf-tasks.ts';
import { home } from './home.ts';
import { keep, kept } from './kept.ts';
import { DEFAULTS, queryOf, type Settings, settingsOf } from './settings.ts';
import { number, words } from './words/index.ts';

let worker = new LabWorker();
let connection = connect<Tasks>(worker);
export const call: Call<Tasks> = async (...what) => connection(...what);

/** Marks what this page has written into the browser's history. */
const OURS = 'bax-lab';

// ── where one is, and what is chosen: the address has both, #/training?r=4
const VIEWS = ['formula', 'steps', 'training', 'learned', 'merged', 'adapters', 'hood'] as const;
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
/** Milliseconds from one writing of the address to the next: browsers stop pages that do it some hundred times in half a minute. */
const ADDRESS_EVERY = 400;
let written: { readonly at: number; readonly view?: ViewName } = { at: -Infinity };
let planned: ReturnType<typeof setTimeout> | undefined;
function writeAddress(): void {
  if (addressed().view !== view.value) return; // on the way to another view, of which we are about to hear
  written = { at: performance.now(), view: view.value };
  history.replaceState(OURS, '', hrefOf(view.value));
}
effect(() => {
  keep('settings', String(queryOf(settings.value)));
  clearTimeout(planned);
  const wait = written.view === view.value ? written.at + ADDRESS_EVERY - performance.now() : 0;
  if (wait > 0) planned = setTimeout(writeAddress, wait);
  else writeAddress();
});
addEventListener('hashchange', () => {
  const { view: next, query } = addressed();
  const isBack = history.state === OURS; // to a view, not to what was chosen when one was there
  view.value = next;
  if (query.size > 0 && !isBack) settings.value = settingsOf(query);
});

/** Goes to another view, as its link would; but at once, so that nothing that is chosen meanwhile is taken back. */
export function visit(name: ViewName): void {
  history.pushState(OURS, '', hrefOf(name));
  view.value = name;
}

// ── what the worker has
export const opened = signal<Opened | undefined>(undefined);
export const text = signal<TextRead | undefined>(undefined);
/** Which text that is. */
export const textInUse = signal<Settings['text'] | undefined>(undefined);
/** A text of the user's own. */
export const own = signal<string>(kept('own') ?? '');
export const begun = signal<Begun | undefined>(undefined);

// ── what goes on
export interface Activity {
  readonly what: string;
  readonly stop: AbortController;
  readonly canStop: boolean;
  /** A view began it, and nobody asked: buttons need not wait, since what they begin comes after it. */
  readonly byItself: boolean;
}
export const activity = signal<Activity | undefined>(undefined);
export const isBusy = computed(() => activity.value?.byItself === false);
/** Of what is done, 0 to 1. */
export const progress = signal<number | undefined>(undefined);
export const status = signal('');
export const trouble = signal('');
/** Whether the GPU is gone, and with it all that was on it. */
export const isLost = signal(false);
/** Why something does not outlive the page. */
export const notKept = signal<NotKept | undefined>(undefined);

// What went wrong elsewhere is not of this view.
view.subscribe(() => opened.peek() && (trouble.value = ''));

/** Shows what went wrong. */
export function report(error: unknown): void {
  if (error instanceof TaskError && error.fault === 'lost') isLost.value = true;
  else trouble.value = error instanceof Error ? error.message : String(error);
}

/**
 * Runs one task with everything else at rest; says how it ends. What goes wrong is shown, and gives undefined. A task that
 * takes the signal can be stopped.
 */
export async function act<T>(
  what: string,
  f: (signal: AbortSignal) => Promise<T>,
  { byItself = false } = {},
): Promise<T | undefined> {
  while (activity.peek()?.byItself) await idle();
  if (activity.peek()) return undefined;
  const stop = new AbortController();
  activity.value = { what, stop, canStop: f.length > 0, byItself };
  trouble.value = '';
  status.value = words().doing(what);
  try {
    const result = await f(stop.signal);
    status.value = stop.signal.aborted ? words().stopped(what) : words().done(what);
    return result;
  } catch (error) {
    const isStopped = error instanceof TaskError && error.fault === STOPPED;
    status.value = isStopped ? words().stopped(what) : words().failed(what);
    if (!isStopped) report(error);
    return undefined;
  } finally {
    activity.value = undefined;
    progress.value = undefined;
  }
}

/** Whether what goes on can make way for something else, and go on after it. */
export const canPause = signal(false);
let aside: (() => Promise<void>) | undefined;
let goesOn = false;

/** As `act`, of what can stop and go on: `part` says whether something is left, and is called again after what came between. */
export async function actInParts(
  what: string,
  part: (signal: AbortSignal) => Promise<boolean>,
): Promise<void> {
  if (isBusy.value) return;
  goesOn = true;
  let left: boolean | undefined = true;
  while (left && goesOn) {
    canPause.value = true;
    left = await act(what, part);
    canPause.value = false;
    const between = aside;
    aside = undefined;
    if (!between) return;
    await between();
  }
}

/** Does something at once, or, in the midst of what can pause, after the step that is being made. */
export async function meanwhile(f: () => Promise<void>): Promise<void> {
  if (!canPause.value) return f();
  canPause.value = false;
  await new Promise<void>((resolve) => {
    aside = async () => f().finally(resolve);
    activity.value?.stop.abort();
  });
}

/** Stops what goes on; what made way for it does not go on either. */
export function halt(): void {
  goesOn = false;
  activity.value?.stop.abort();
}

/** When nothing goes on. */
export const idle = async (): Promise<void> =>
  new Promise((resolve) => {
    const look = (): void => {
      if (activity.peek()) return; // what made way for it was shorter than that
      stop();
      resolve();
    };
    const stop = activity.subscribe((one) => one ?? setTimeout(look));
  });

/** Loads the model and then the text, as `read` does. */
export async function open(onRead: () => Promise<void>, device?: DeviceName): Promise<void> {
  const query = new URLSearchParams(location.search);
  if (settings.value.text === 'own' && !own.value) choose({ text: DEFAULTS.text }); // somebody else's link
  opened.value = await act(words().loadingModel, async (signal) =>
    call(
      'open',
      {
        home,
        // `?device=wasm` chooses where to compute; `?device=webgpu&software` also takes a GPU that is none, for tests.
        device: device ?? ((query.get('device') ?? 'auto') as DeviceName),
        software: query.has('software'),
      },
      { signal, on: ({ done, total }) => void (progress.value = done / total) },
    ),
  );
  if (opened.value) await read(onRead);
  else if (!isLost.value) trouble.value ||= words().notLoaded;
}

/** Begins anew in a new worker: what the old one held is gone. */
export async function reopen(onRead: () => Promise<void>, device: DeviceName): Promise<void> {
  worker.terminate();
  worker = new LabWorker();
  connection = connect<Tasks>(worker);
  opened.value = text.value = begun.value = undefined;
  isLost.value = false;
  await open(onRead, device);
}

/** Reads the chosen text, and does what is then to be done before anything else. Whether it could be read. */
export async function read(onRead: () => Promise<void>): Promise<boolean> {
  const { text: choice } = settings.value;
  const give = choice === 'own' ? { own: own.value } : { shipped: choice };
  const next = await act(words().readingText, async () => {
    const found = await call('read', give);
    if ('refused' in found) return found;
    [text.value, textInUse.value] = [found, choice];
    await onRead().catch(report);
    return found;
  });
  if (!next) return false;
  if ('refused' in next) {
    const { why, size, bound } = next.refused;
    trouble.value = words()[why](number(size), number(bound));
    status.value = words().failed(words().readingText);
    return false;
  }
  return true;
}
