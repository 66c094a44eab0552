/** What an adapter has learned, seen as the paper sees it: its directions, and how they lie to those of others. [LoRA §7] */
import {
  adamW, amplification, attachLora, key, linalg, matricesOf, noGrad, planLora, scope, similarityGrid, slice, spectrum, sub, train,
  type AdapterMatrices, type Amplification, type Gpt2, type Linear, type LoraModel, type Matrix, type SimilarityGrid, type Spectrum,
} from 'bax'; // prettier-ignore
import type { Handlers } from '../../app/calls.ts';
import type { LearnedTasks, Named, Similarity } from './learned-tasks.ts';
import { course, goesWithRun, lesson, windowsOf } from './learners.ts';
import { model } from './model.ts';
import type { Begin, Numbers } from './tasks.ts';

/** A and B were computed in f32. */
const ROUNDOFF = 2 ** -24;

interface Other extends Named {
  readonly lora: LoraModel<Gpt2>;
  /** What it is another one of: as it was when it had made so many steps. */
  readonly begin: Begin;
  readonly steps: number;
}
let trainedOther: Other | undefined;
goesWithRun(() => {
  trainedOther?.lora.detach();
  trainedOther = undefined;
});
/** The other adapter, if LoRA stands where it stood then. */
function other(): Other | undefined {
  const { begin, rates } = course();
  return trainedOther?.begin === begin && trainedOther.steps === rates.length ? trainedOther : undefined;
}

export const learned: Handlers<LearnedTasks> = {
  async learned({ path: asked }) {
    const { adapted, begin } = course();
    const all = await matricesOf(adapted);
    const path = all.has(asked) ? asked : [...all.keys()][0];
    const mine = all.get(path)!;
    const beside = other();
    const others = beside && (await matricesOf(beside.lora)).get(path)!;
    const delta = linalg.times(linalg.scaled(mine.B, mine.scale), mine.A);
    const full = await fullDelta(path);
    return {
      path,
      paths: [...all.keys()],
      lora: {
        r: mine.A.rows,
        seed: begin.seed,
        delta: numbers(delta),
        spectrum: { ...plain(spectrum(mine.delta)), values: linalg.singularValues(delta) },
      },
      full: full && { delta: numbers(full), spectrum: plain(spectrum(full)) },
      amplifications: await Promise.all([mine, others].flatMap((one) => (one ? [amplified(one)] : []))),
      other: others && {
        r: others.A.rows,
        seed: beside.seed,
        A: similarity(similarityGrid(mine.A, others.A, { roundoff: ROUNDOFF })),
        delta: similarity(similarityGrid(mine.delta, others.delta, { roundoff: ROUNDOFF })),
      },
    };
  },

  async everywhere(_, tell, signal) {
    const found = [];
    const all = await matricesOf(course().adapted);
    for (const [path, one] of all) {
      const { weight, delta, factor } = await amplified(one);
      found.push({ path, weight, delta, factor, effectiveRank: spectrum(one.delta).effectiveRank });
      tell({ done: found.length, total: all.size });
      await new Promise((resolve) => setTimeout(resolve)); // so that a wish to stop is heard
      signal.throwIfAborted();
    }
    return found;
  },

  async other({ r, seed }, tell, signal) {
    const { begin, rates } = course();
    const { base } = model();
    const { targets, alpha } = begin;
    const lora = await attachLora(base, planLora(base, { targets, r, alpha }), { key: key(seed) });
    const optimizer = adamW(lora.parameters(), { weightDecay: 0 });
    let isDone = false;
    try {
      const { aborted } = await train({
        ...lesson({ model: lora.model, optimizer }),
        batches: windowsOf(begin),
        schedule: (step) => rates[step],
        steps: rates.length,
        signal,
        onStep: ({ step, steps }) => tell({ done: step + 1, total: steps }),
      });
      isDone = !aborted;
    } finally {
      optimizer.dispose();
      if (!isDone) lora.detach();
    }
    if (!isDone) return { isDone };
    trainedOther?.lora.detach();
    trainedOther = { lora, r, seed, begin, steps: rates.length };
    return { isDone };
  },
};

/** W after all weights have learned, less W: the rows of one target. */
async function fullDelta(path: string): Promise<Matrix | undefined> {
  const { adapted, full } = course();
  if (!full) return undefined;
  const { place, start, length } = adapted.lora.adapter(adapted.adapter).branches.get(path)!;
  const rowsOf = (tree: Gpt2) =>
    slice((tree.namedModules().get(place.modulePath) as Linear).matrix, 0, start, start + length);
  const delta = scope(() => noGrad(() => sub(rowsOf(full), rowsOf(model().base))));
  try {
    return linalg.matrix(delta.shape[0], delta.shape[1], await delta.data());
  } finally {
    delta.dispose();
  }
}

const amplified = async ({ weight, delta, scale }: AdapterMatrices): Promise<Omit<Amplification, 'toString'>> =>
  plain(amplification(await weight(), delta, delta.S.length, { scale })); // prettier-ignore

/** Without what cannot be sent. */
const plain = <T extends Spectrum | Amplification>({ toString: _, ...rest }: T): Omit<T, 'toString'> => rest;

const numbers = ({ rows, columns, data }: Matrix): Numbers => ({ rows, columns, data: Float32Array.from(data) }); // prettier-ignore

function similarity(grid: SimilarityGrid): Similarity {
  const { values } = grid;
  const [rows, columns] = [values.length, values[0].length];
  const fill = (of: (i: number, j: number) => number): Numbers => numbers(linalg.matrix(rows, columns, of));
  return { phi: fill((i, j) => values[i][j] ?? NaN), random: fill((i, j) => grid.random(i + 1, j + 1)) };
}
