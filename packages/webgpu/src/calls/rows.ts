/** Tensors as rows along their last axis: what softmax, the norms and cross-entropy share. */
import { bytesOf, collapse, sizeOf, type View } from '@bax/core';
import type { Bound, Gpu } from '../gpu.ts';
import { borrow, type Fresh } from './borrow.ts';
import { apart, copyInto, copyOf } from './map.ts';

/** Rows of elements that lie side by side. */
export interface Rows {
  readonly bound: Bound;
  /** Where the first begins, and from one to the next, in T. */
  readonly at: number;
  readonly step: number;
}

/** How a kernel goes through them. */
export interface Split {
  /** Rows of the first input. */
  readonly rows: number;
  /** Elements of a row, and how many T they are. */
  readonly n: number;
  readonly columns: number;
  readonly T: 'f32' | 'vec4f';
  readonly constants: { readonly WIDTH: number; readonly TEAM: number; readonly SIZE: number };
  readonly workgroups: number;
}

/**
 * Calls `run` with how they are split, a way to borrow memory, and the inputs and then the outputs as rows. Those that
 * do not lie so, and inputs that share a buffer with an output, go through copies. T is vec4f where all of them and
 * `widest` allow it. False, and nothing done, if one is no f32, is empty, or is larger than a binding.
 */
export function onRows(
  gpu: Gpu,
  inputs: readonly View[],
  outputs: readonly View[],
  run: (split: Split, fresh: Fresh, ...rows: readonly Rows[]) => void,
  widest: 1 | 4 = 4,
): boolean {
  if (![...inputs, ...outputs].every((v) => isTaken(gpu, v))) return false;
  return borrow(gpu, (fresh) => {
    const sources = apart(gpu, fresh, inputs, outputs).map((v) =>
      rowStep(v) === undefined ? copyOf(gpu, fresh, v) : v,
    );
    const results = outputs.map((v) => (rowStep(v) === undefined ? fresh(v.shape, 'f32') : v));
    const all = [...sources, ...results];
    const bounds = all.map((v) => gpu.bind(v));
    const steps = all.map((v) => rowStep(v)!);
    const n = inputs[0].shape.at(-1)!;
    const fours = [n, ...steps, ...bounds.map(({ base }) => base)].every((x) => x % 4 === 0);
    const width = fours ? widest : 1;
    const rows = bounds.map((bound, i): Rows => ({ bound, at: bound.base / width, step: steps[i] / width }));
    gpu.about(...inputs);
    run(splitOf(gpu, sizeOf(inputs[0].shape) / n, n, width), fresh, ...rows);
    results.forEach((v, i) => v !== outputs[i] && copyInto(gpu, v, outputs[i]));
    return true;
  });
}

function isTaken(gpu: Gpu, v: View): boolean {
  const { type } = v.buffer;
  const count = sizeOf(v.shape);
  return type === 'f32' && count > 0 && gpu.fits(v) && count * bytesOf(type) <= gpu.maxBinding;
}

/** Elements from one row to the next, if the rows are evenly apart and each lies in one piece. */
function rowStep({ shape, strides }: View): number | undefined {
  if (shape.at(-1) !== 1 && strides.at(-1) !== 1) return undefined;
  const rows = collapse(shape.slice(0, -1), [strides.slice(0, -1)]);
  return rows.shape.length > 1 ? undefined : (rows.strides[0][0] ?? shape.at(-1) ?? 1);
}

/** A row is done by one thread where threads run one after the other, else by as many as keep busy with it. */
function splitOf(gpu: Gpu, rows: number, n: number, WIDTH: 1 | 4): Split {
  const columns = n / WIDTH;
  const TEAM = gpu.tuning.software ? 1 : columns <= 128 ? 32 : 256;
  const SIZE = Math.max(64, TEAM);
  return {
    rows,
    n,
    columns,
    T: WIDTH === 4 ? 'vec4f' : 'f32',
    constants: { WIDTH, TEAM, SIZE },
    workgroups: Math.ceil((rows * TEAM) / SIZE),
  };
}
