/** The adapters that are kept: what the page knows of them, and what can be done with them. */
import { computed, effect, signal } from '@preact/signals';
import { freeName as nameLike } from '../worker/free-name.ts';
import type { Made, Recipe, Shelf, ShelfTasks, Together, Weights } from '../worker/shelf-tasks.ts';
import {
  act,
  actInParts,
  call,
  isBusy,
  notKept,
  opened,
  own,
  report,
  settings,
  status,
  view,
} from './lab.ts';
import { download } from './parts/csv-button.tsx';
import type { Settings } from './settings.ts';
import { bytes, words } from './words/index.ts';

export const shelf = signal<Shelf>({ adapters: [], broken: [] });
/** Of each adapter in the blend; 0 if it is not named. */
export const weights = signal<ReadonlyMap<string, number>>(new Map());
/** What is blended: no weight of 0. */
export const blend = computed<Weights>(() =>
  Object.fromEntries(
    shelf.value.adapters.flatMap(({ name }) => {
      const weight = weights.value.get(name) ?? 0;
      return weight === 0 ? [] : [[name, weight]];
    }),
  ),
);
export const weigh = (name: string, weight: number): void =>
  void (weights.value = new Map(weights.value).set(name, weight));
export const only = (name?: string): void =>
  void (weights.value = new Map(name === undefined ? [] : [[name, 1]]));

function show(next: Shelf): void {
  // What the run could not keep is said until the run is kept.
  if (next.notKept || notKept.value === shelf.value.notKept) notKept.value = next.notKept;
  shelf.value = next;
}
export async function lookAtShelf(): Promise<void> {
  show(await call('shelf', undefined));
}

/** Whether an adapter has this name, one that cannot be read, too. */
const isTaken = (name: string): boolean =>
  [...shelf.value.adapters, ...shelf.value.broken].some((kept) => kept.name === name);
/** A name that no adapter has. */
export const freeName = (wish: string): string => nameLike(wish, isTaken);
/** What is wrong with a name for a new adapter; nothing if it will do. */
export const nameTrouble = (name: string): string =>
  !/^[\w-]{1,60}$/.test(name) ? words().shelf.badName : isTaken(name) ? words().shelf.nameTaken : '';

/** Says so if another tab had the wished name. */
function sayName(wish: string, name: string): void {
  if (name !== wish) status.value = words().shelf.otherName(wish, name);
}

/** Makes a new adapter of others, or of what learned in the run. */
export async function make(name: string, of: Recipe): Promise<Made | undefined> {
  const { prompt } = settings.value;
  const made = await act(words().shelf.making, async () => call('make', { name, of, prompt }));
  if (made) show(made.shelf);
  if (made) sayName(name, made.name);
  return made;
}
export async function remove(name: string): Promise<void> {
  const next = await act(words().shelf.removing, async () => call('remove', name));
  if (!next) return;
  const left = new Map(weights.value);
  left.delete(name);
  weights.value = left;
  show(next);
}
export async function exportZip(name: string, learned = false): Promise<void> {
  const zip = await act(words().shelf.exporting, async () => call('export', { name, learned }));
  if (zip) download(`${name}.zip`, zip, 'application/zip');
}
/** The adapter's name and what the reader warns of. */
export async function importFiles(
  files: readonly File[],
): Promise<{ readonly name: string; readonly warnings: readonly string[] } | undefined> {
  return act(words().shelf.importing, async () => {
    const imported = await call('import', files);
    if ('refused' in imported) {
      const { why, detail } = imported.refused;
      throw new Error(words().shelf.refused[why](why === 'tooLarge' ? bytes(Number(detail)) : detail));
    }
    show(imported.shelf);
    only(imported.name);
    return imported;
  });
}

export interface Taught {
  readonly step: number;
  readonly steps: number;
  readonly loss: number;
}
/** Teaches a new adapter one text. */
export async function teach(
  name: string,
  text: Settings['text'],
  steps: number,
  on: (taught: Taught) => void,
): Promise<void> {
  const { r, alpha, targets, seed, batch, context, lr } = settings.value;
  const from = text === 'own' ? { own: own.value } : { shipped: text };
  const lesson = { name, text: from, steps, r, alpha, targets, seed, batch, context, lr };
  let kept = name;
  await actInParts(words().shelf.teaching, async (signal) => {
    const result = await call('teach', lesson, {
      signal,
      on: ({ step, loss }) => on({ step: step + 1, steps, loss }),
    });
    show(result.shelf);
    kept = result.name;
    return result.steps < steps;
  });
  await call('endLesson', undefined).catch(report);
  sayName(name, kept);
}

/** Writes rows together; `on` gets all of them as they are so far. */
export async function writeTogether(
  rows: readonly (string | null)[],
  on: (written: readonly string[]) => void,
): Promise<Together | undefined> {
  const { prompt, tokens, temperature, seed } = settings.value;
  let written = rows.map(() => prompt);
  return act(words().writing, async (signal) =>
    call(
      'together',
      { rows, prompt, tokens, temperature, seed },
      { signal, on: (pieces) => on((written = written.map((text, i) => text + pieces[i]))) },
    ),
  );
}

/** What the blend expects after the prompt: kept up with while its view is open and nothing else goes on. */
export const expected = signal<ShelfTasks['next']['result'] | undefined>(undefined);
const wanted = computed(() => ({
  shelf: shelf.value,
  give: { weights: blend.value, prompt: settings.value.prompt },
}));
let answered: typeof wanted.value | undefined;
let isAsking = false;
async function follow(): Promise<void> {
  isAsking = true;
  while (answered !== wanted.value && !isBusy.value) {
    const wish = wanted.value; // the latest alone: a slider moves faster than a model answers
    await call('next', wish.give).then((next) => void (expected.value = next), report);
    answered = wish;
  }
  isAsking = false;
}
effect(() => {
  const { shelf: there, give } = wanted.value;
  const isSeen = opened.value && view.value === 'adapters' && there.adapters.length > 0;
  if (isSeen && !isBusy.value && give.prompt.trim() !== '' && !isAsking) void follow();
});
