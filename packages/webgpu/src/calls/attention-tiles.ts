/** Attention in tiles of workgroup memory: scores and weights of a tile are never in the device's. */
import type { View } from '@bax/core';
import type { Bound, Gpu } from '../gpu.ts';
import {
  attention as tiled,
  attentionGradKey,
  attentionGradQuery,
  attentionStep,
} from '../wgsl.generated.ts';
import type { Attention } from './attention-lengths.ts';
import { borrow, type Fresh } from './borrow.ts';
import { copyInto, fill } from './map.ts';

/** The deepest rows that the kernels take: each of 8 threads has four vectors of a sum. */
const MOST_DEPTH = 128;
/** With so many queries or fewer, keys are split among threads, not queries. */
const FEW_QUERIES = 4;
/** Threads that a query's keys are split among. */
const STEP_SIZE = 128;

/** Queries or keys of a workgroup: as many as its memory allows, given the bytes that it needs and those of each. */
interface Rows {
  readonly forward: number;
  readonly backward: number;
}
function rowsOf(gpu: Gpu, a: Attention): Rows {
  const bytes = gpu.device.limits.maxComputeWorkgroupStorageSize;
  const row = columnsOf(a) * 128;
  const tile = 32 * (row + 16);
  const most = (each: number): number => [32, 16, 8].find((rows) => tile + rows * each <= bytes) ?? 0;
  return { forward: most(row + 32 * 4 + 8 * 4), backward: most(2 * row + 32 * 8) };
}

/** Vectors that one of 8 threads has of a sum. */
const columnsOf = ({ depth, width }: Attention): number => Math.ceil(Math.max(depth, width) / 32);

/** Whether the kernels take it. */
export function takes(gpu: Gpu, a: Attention): boolean {
  const rows = rowsOf(gpu, a);
  return Math.max(a.depth, a.width) <= MOST_DEPTH && rows.forward > 0 && rows.backward > 0;
}

export function attend(gpu: Gpu, a: Attention, q: View, k: View, v: View, y: View): void {
  borrow(gpu, (fresh) => {
    const inputs = [q, k, v].map((x) => asRows(gpu, fresh, x));
    const output = toRows(gpu, fresh, y);
    const [from, to] = [inputs.map((x) => gpu.bind(x)), gpu.bind(output.view)];
    const { ROWS, variant, lengths, mask } = common(gpu, a, rowsOf(gpu, a).forward, from[0]);
    const [qSteps, kSteps, vSteps] = inputs.map((x, i) => stepsOf(x, from[i]));
    const params = {
      ...lengths,
      heads: a.heads,
      q: qSteps,
      k: kSteps,
      v: vSteps,
      y: stepsOf(output.view, to),
    };
    const bindings = [...from, mask, to];
    gpu.about(q, k, v);
    if (a.queries <= FEW_QUERIES) {
      const count = a.batch * a.heads * a.queries;
      gpu.run(attentionStep, { constants: { SIZE: STEP_SIZE } }, bindings, { ...params, count }, count); // prettier-ignore
    } else {
      const blocks = Math.ceil(a.queries / ROWS);
      const count = a.batch * a.heads * blocks;
      gpu.run(tiled, { constants: variant }, bindings, { ...params, blocks, count }, count);
    }
    output.store();
  });
}

export function attendGrad(gpu: Gpu, a: Attention, inputs: readonly View[], outputs: readonly View[]): void {
  borrow(gpu, (fresh) => {
    const rows = inputs.map((x) => asRows(gpu, fresh, x));
    const results = outputs.map((x) => toRows(gpu, fresh, x));
    /** Of each query: its largest score, 1 / the sum of its powers, its mean gradient. */
    const stats = gpu.bind(fresh([a.batch * a.heads * a.queries, 4], 'f32'));
    const from = rows.map((x) => gpu.bind(x));
    const to = results.map(({ view }) => gpu.bind(view));
    const { ROWS, variant, lengths, mask } = common(gpu, a, rowsOf(gpu, a).backward, from[0]);
    const [g, q, k, v] = rows.map((x, i) => stepsOf(x, from[i]));
    const [dq, dk, dv] = results.map(({ view }, i) => stepsOf(view, to[i]));
    gpu.about(...inputs);
    const queryBlocks = Math.ceil(a.queries / ROWS);
    const byQuery = { ...lengths, heads: a.heads, g, q, k, v, dq, blocks: queryBlocks, count: a.batch * a.heads * queryBlocks }; // prettier-ignore
    const queryBindings = [...from, mask, to[0], stats];
    for (const STATS of [1, 0])
      gpu.run(
        attentionGradQuery,
        { constants: { ...variant, STATS } },
        queryBindings,
        byQuery,
        byQuery.count,
      );
    const keyBlocks = Math.ceil(a.keys / ROWS);
    const byKey = { ...lengths, kvHeads: a.kvHeads, g, q, k, v, dk, dv, blocks: keyBlocks, count: a.batch * a.kvHeads * keyBlocks }; // prettier-ignore
    gpu.run(attentionGradKey, { constants: variant }, [...from, stats, mask, to[1], to[2]], byKey, byKey.count); // prettier-ignore
    for (const result of results) result.store();
  });
}

/** What all kernels are told. Where there is no mask, `other` takes its binding. */
function common(gpu: Gpu, a: Attention, ROWS: number, other: Bound) {
  const mask = a.mask ? gpu.bind(a.mask) : other;
  return {
    ROWS,
    variant: { ROWS, COLUMNS: columnsOf(a) },
    lengths: {
      mask: a.mask?.strides ?? [],
      maskAt: a.mask ? mask.base : 0,
      group: a.heads / a.kvHeads,
      queries: a.queries,
      keys: a.keys,
      causal: a.causal ? 1 : 0,
      masked: a.mask ? 1 : 0,
      depth: vectors(a.depth),
      width: vectors(a.width),
      scale: a.scale,
    },
    mask,
  };
}

const vectors = (depth: number): number => Math.ceil(depth / 4);
/** Strides of batch, head and time and the beginning, in vectors of four. */
const stepsOf = ({ strides }: View, { base }: Bound): number[] =>
  [...strides.slice(0, 3), base].map((n) => n / 4);

/** Whether each row is whole vectors of four. */
const isRows = ({ shape, strides, offset }: View): boolean =>
  strides[3] === 1 && shape[3] % 4 === 0 && [offset, ...strides.slice(0, 3)].every((n) => n % 4 === 0);
/** Memory for a tensor [B, H, T, D] whose rows are whole vectors, and its part of D elements a row. */
function padded(fresh: Fresh, { shape }: View): { view: View; part: View } {
  const view = fresh(shape.with(3, vectors(shape[3]) * 4), 'f32');
  return { view, part: { ...view, shape } };
}
/** The tensor, or a copy whose rows are whole vectors; what is behind the rows is 0. */
function asRows(gpu: Gpu, fresh: Fresh, x: View): View {
  if (isRows(x)) return x;
  const { view, part } = padded(fresh, x);
  if (x.shape[3] % 4 !== 0) fill(gpu, view, 0);
  copyInto(gpu, x, part);
  return view;
}
/** The tensor, or memory whose rows are whole vectors, which `store` copies to it. */
function toRows(gpu: Gpu, fresh: Fresh, x: View): { readonly view: View; store(): void } {
  if (isRows(x)) return { view: x, store: () => undefined };
  const { view, part } = padded(fresh, x);
  return { view, store: () => copyInto(gpu, part, x) };
}
