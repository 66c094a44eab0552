/** One step of training, taken apart: what the page has of it. */
import { computed, signal } from '@preact/signals';
import type { HoodChoice, Tape, TapeCall, Times } from '../worker/hood-tasks.ts';
import { act, begun, call, opened, progress, settings, text } from './lab.ts';
import { version } from './run.ts';
import { words } from './words/index.ts';

const choice = computed((): HoodChoice => {
  const { r, alpha, targets, seed, batch, context } = settings.value;
  return { r, alpha, targets, seed, batch, context };
});
/** What the step depends on: the run, or where none has begun the choices; and the device. */
export const subject = computed(() =>
  JSON.stringify([
    opened.value?.device,
    text.value?.version,
    version.value,
    begun.value ? 'run' : choice.value,
  ]),
);
interface Of<T> {
  readonly subject: string;
  readonly value: T;
}
const seen = signal<Of<Tape> | undefined>(undefined);
const measured = signal<Of<Times> | undefined>(undefined);
const now = <T>(of: Of<T> | undefined): T | undefined =>
  of?.subject === subject.value ? of.value : undefined;
export const tape = computed(() => now(seen.value));
export const times = computed(() => now(measured.value));

export async function takeApart(): Promise<void> {
  const { value } = subject;
  const found = await act(words().hood.reading, async () => call('tape', choice.value), { byItself: true });
  if (!found) return;
  if (!seen.value || !found.calls[chosen.value]) {
    chosen.value = typical(found.calls);
    const shown = groupsOf(found.calls).filter(
      ({ key, calls }) => key === 'end' || calls.includes(chosen.value),
    );
    openGroups.value = new Set(shown.map(({ key }) => key));
  }
  seen.value = { subject: value, value: found };
}
/** The first adapted matrix whose x is asked for, too. */
const typical = (calls: readonly TapeCall[]): number =>
  Math.max(0, calls.findIndex((call) => holds(call, true) && call.inputs[0].isAsked)); // prettier-ignore
export async function measure(): Promise<void> {
  const { value } = subject;
  const found = await act(words().hood.measuring, async (stop) =>
    call('times', choice.value, {
      signal: stop,
      on: ({ done, total }) => void (progress.value = done / total),
    }),
  );
  if (found) measured.value = { subject: value, value: found };
}

/** The call that is looked at, by its place on the tape. */
export const chosen = signal(0);
/** Looks at a call that was pointed at; on a narrow screen it is shown further down. */
export function choose(index: number): void {
  chosen.value = index;
  requestAnimationFrame(() => document.getElementById('hood-call')?.scrollIntoView({ block: 'nearest' }));
}
/** Calls of one block; `end` are those behind the last. */
export interface Group {
  readonly key: string;
  readonly calls: readonly number[];
}
export function groupsOf(calls: readonly TapeCall[]): Group[] {
  const groups = new Map<string, number[]>();
  calls.forEach(({ block }, i) => {
    const key = block === undefined ? 'end' : `transformer.h.${block}`;
    groups.set(key, [...(groups.get(key) ?? []), i]);
  });
  return [...groups].map(([key, own]) => ({ key, calls: own }));
}
/** Groups whose calls are shown. */
export const openGroups = signal<ReadonlySet<string>>(new Set());
export function toggle(key: string, open = !openGroups.value.has(key)): void {
  const next = new Set(openGroups.value);
  if (open) next.add(key);
  else next.delete(key);
  openGroups.value = next;
}
/** The module's own name: `c_attn`. */
export const moduleOf = ({ path }: TapeCall): string =>
  path
    .split('.')
    .filter((part) => !/^(transformer|h|\d+)$/.test(part))
    .join('.');
/** Whether something of it is trained, or stays frozen. */
export const holds = ({ inputs }: TapeCall, isTrained: boolean): boolean =>
  inputs.some(({ from }) => 'parameter' in from && from.isTrained === isTrained);
