/** How long something takes on the device. */
import type { Tensor } from 'bax';
import { watched } from './ran.ts';

/** Milliseconds that are timed at once, at least; how often at most, and how many times over. */
const [LEAST, MOST, ROUNDS] = [4, 64, 5];

/** Waits until what the device was given is done, as far as a number of `t` can be read. */
export async function settled({ view, backend }: Tensor): Promise<void> {
  await backend.read(view.buffer, view.offset, 1);
}

/** Milliseconds until `f` is done on the device, as far as a number of its last result can be read; and what it gave. */
export async function timed(f: () => readonly Tensor[]): Promise<{ time: number; made: readonly Tensor[] }> {
  const began = performance.now();
  const made = f();
  await settled(made.at(-1)!);
  return { time: performance.now() - began, made };
}

export const median = (times: readonly number[]): number =>
  times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)];

/**
 * The median, in milliseconds, of running it by itself: so often in a row that the clock can tell. Undefined if nothing of
 * it reaches the device. What it gives is freed.
 */
export async function took(run: () => readonly Tensor[]): Promise<number | undefined> {
  const often = async (times: number): Promise<number> => {
    const { time, made } = await timed(() => Array.from({ length: times }, run).flat());
    for (const t of made) t.dispose();
    return time / times;
  };
  const { result, ran } = watched(run);
  for (const t of result) t.dispose();
  if (ran.length === 0) return undefined;
  await often(1); // what is compiled for it is compiled now
  const times = Math.min(MOST, Math.ceil(LEAST / (await often(1))));
  const rounds: number[] = [];
  while (rounds.length < ROUNDS) rounds.push(await often(times));
  return median(rounds);
}
