/**
 * Attention and its gradients, a block of queries at a time: the scores of the block and all keys that it sees lie in
 * scratch, are made to weights there, and are used up; no matrix of T × T is kept. Keys behind the last that a causal
 * block sees are not computed. The products are `gemm.ts`'s. The backward pass computes the weights anew.
 * https://arxiv.org/abs/1706.03762 §3.2.1; without its online softmax, the blocks of https://arxiv.org/abs/2205.14135
 */
import { type Code, call, f32, f32x4, type Func, i32, type Local, loop, when } from '../assembler/index.ts';
import { GEMM_SCRATCH, gemm } from './gemm.ts';
import { plus, times } from './integers.ts';
import { defineKernel, type Frame, type Kernel } from './kernel.ts';
import { COLUMNS, F32, packAll } from './pack.ts';
import { forVectors, total } from './rows.ts';
import { Scope } from './scope.ts';
import { topAndSum } from './softmax.ts';

/** Queries of a block. */
const BLOCK = 32;

const padded = (columns: number): number => Math.ceil(columns / COLUMNS) * COLUMNS;
/** The bytes of one row of scores: not a power of two, so that rows do not fall on one cache line. */
export const scoreRow = (keys: number): number => (Math.ceil(keys / 16) * 16 + 16) * F32;

/** Where the parts of scratch begin; each is given the bytes that `attentionScratch` counts. */
const PARTS = ['scores', 'dScores', 'keysT', 'values', 'valuesT', 'keys'] as const;
type Part = (typeof PARTS)[number];
const partBytes = (keys: number, depth: number, width: number): Readonly<Record<Part, number>> => ({
  scores: BLOCK * scoreRow(keys),
  dScores: BLOCK * scoreRow(keys),
  keysT: depth * padded(keys) * F32,
  values: keys * padded(width) * F32,
  valuesT: width * padded(keys) * F32,
  keys: keys * padded(depth) * F32,
});
/** The offsets of the parts behind gemm's scratch, in the order of PARTS, and the bytes of all. */
export function attentionScratch(
  keys: number,
  depth: number,
  width: number,
): { offsets: number[]; bytes: number } {
  const sizes = partBytes(keys, depth, width);
  let at = GEMM_SCRATCH;
  const offsets = PARTS.map((part) => {
    const offset = at;
    at += Math.ceil(sizes[part] / 64) * 64;
    return offset;
  });
  return { offsets, bytes: at };
}

/** Steps along batch, head, time and depth, in bytes, and where the tensor begins. */
const tensorArgs = (name: string): string[] =>
  ['', 'Batch', 'Head', 'Time', 'Depth'].map((step) => `${name}${step}`);
const SHAPE = ['heads', 'group', 'queries', 'keys', 'depth', 'width', 'causal', 'scoreRow'] as const;
const argsOf = (tensors: readonly string[]): Record<string, 'i32' | 'f32'> => ({
  ...Object.fromEntries(
    [...SHAPE, ...PARTS.map((p) => `${p}At`), ...tensors.flatMap(tensorArgs)].map((name) => [name, 'i32']),
  ),
  scale: 'f32',
});

interface Writer {
  readonly s: Scope;
  readonly x: Readonly<Record<string, Local>>;
  readonly multiply: Func;
  readonly packB: Func;
  /** Where a tensor's part for the unit's batch and head begins. */
  at(name: string, batch: Local, head: Code): Code;
  part(name: Part): Code;
  packed(name: Part, from: Code, depthStep: Code, columnStep: Code, depth: Code, columns: Code): Code;
  /** The weights of the block's `rows` queries from `query` on, for the `seen` keys, in part `scores`. */
  weights(q: Local, query: Local, rows: Local, seen: Local): Code;
  readonly scratch: Local;
}

function writer({ target, f, args: x, scratch, use }: Frame<string>): Writer {
  const { multiply, packB, functions } = gemm(target);
  use(...functions);
  const s = new Scope(f, target);
  const [j, row, length, at, p, r] = f.locals('j', 'row', 'length', 'rowAt', 'p', 'r');
  const [top, sum] = [s.temp(), s.temp()];
  const part = (name: Part): Code => plus(scratch, x[`${name}At`]);
  return {
    s, x, multiply, packB, part, scratch,
    at: (name, batch, head) =>
      plus(x[name], times(batch, x[`${name}Batch`]), times(head, x[`${name}Head`])),
    packed: (name, from, depthStep, columnStep, depth, columns) =>
      packAll(packB, from, depthStep, columnStep, depth, columns, part(name), j),
    weights: (q, query, rows, seen) => [
      // Causal blocks see keys up to their last query, counted from the end.
      seen.set(x.keys),
      when(x.causal, seen.set(plus(i32.sub(x.keys, x.queries), query, rows))),
      call(
        multiply,
        plus(q, times(query, x.qTime)), x.qTime, x.qDepth,
        part('keysT'), PANEL, panelsOf(x.depth),
        part('scores'), x.scoreRow, rows, seen, x.depth, x.scale, i32.const(0), scratch,
      ),
      loop(row, i32.const(0), rows, i32.const(1), [
        length.set(seen),
        when(x.causal, length.set(plus(i32.sub(seen, rows), row, i32.const(1)))),
        at.set(plus(part('scores'), times(row, x.scoreRow))),
        topAndSum(s, length, at, [p, r], [top, sum], at),
        sum.set(f32x4.div(s.f32(1), sum)),
        forVectors(s, length, [p], [at], (v) => v.store(p, f32x4.mul(v.load(p), sum))),
        p.set(plus(at, times(length, F32))),
        loop(j, length, seen, i32.const(1), [f32.store(p, f32.const(0)), p.set(plus(p, i32.const(F32)))]),
      ]),
    ],
  };
} // prettier-ignore

const PANEL = i32.const(COLUMNS * F32);
const panelsOf = (depth: Code): Code => times(depth, PANEL);

/** out [B, H, Tq, Dv] = softmax(scale · q kᵀ) v. Units: batch and head. */
export const attentionKernel: Kernel = defineKernel('attention', argsOf(['q', 'k', 'v', 'out']), (frame) => {
  const { f, from: unit, to } = frame;
  const w = writer(frame);
  const { x, s } = w;
  const [batch, head, kvHead, query, rows, seen, q, k, v, out] = f.locals('batch', 'head', 'kvHead', 'query', 'rows', 'seen', 'pq', 'pk', 'pv', 'pout');
  const body = loop(unit, unit, to, i32.const(1), [
    batch.set(i32.div_u(unit, x.heads)),
    head.set(i32.rem_u(unit, x.heads)),
    kvHead.set(i32.div_u(head, x.group)),
    q.set(w.at('q', batch, head)),
    k.set(w.at('k', batch, kvHead)),
    v.set(w.at('v', batch, kvHead)),
    out.set(w.at('out', batch, head)),
    w.packed('keysT', k, x.kDepth, x.kTime, x.depth, x.keys),
    w.packed('values', v, x.vTime, x.vDepth, x.keys, x.width),
    forBlocks(x.queries, query, rows, [
      w.weights(q, query, rows, seen),
      call(
        w.multiply,
        w.part('scores'), x.scoreRow, i32.const(F32), w.part('values'), PANEL, panelsOf(x.keys),
        plus(out, times(query, x.outTime)), x.outTime, rows, x.width, seen, f32.const(1), i32.const(0), w.scratch,
      ),
    ]),
  ]);
  return [s.before, body];
}); // prettier-ignore

/**
 * With P the weights, dP = g vᵀ and dS = scale · P ∘ (dP − rowsum(dP ∘ P)):  dq = dS k, dk = dSᵀ q, dv = Pᵀ g, the
 * latter two summed over the query heads that share a key head. Units: batch and key head.
 */
export const attentionGradKernel: Kernel = defineKernel(
  'attentionGrad',
  argsOf(['g', 'q', 'k', 'v', 'dq', 'dk', 'dv']),
  (frame) => {
    const { f, from: unit, to } = frame;
    const w = writer(frame);
    const { x, s } = w;
    const [batch, head, kvHead, last, query, rows, seen] = f.locals('batch', 'head', 'kvHead', 'lastHead', 'query', 'rows', 'seen');
    const [g, q, k, v, dq, dk, dv, row, p, d, a, b] = f.locals('pg', 'pq', 'pk', 'pv', 'pdq', 'pdk', 'pdv', 'gradRow', 'gp', 'gd', 'ga', 'gb');
    const sum = s.temp();
    const zero = (tensor: Local, step: Code, count: Code, length: Local): Code =>
      loop(row, i32.const(0), count, i32.const(1), [
        a.set(plus(tensor, times(row, step))),
        forVectors(s, length, [p], [a], (vector) => vector.store(p, s.f32(0))),
      ]);
    const dScores: Code = loop(row, i32.const(0), rows, i32.const(1), [
      a.set(plus(w.part('scores'), times(row, x.scoreRow))),
      b.set(plus(w.part('dScores'), times(row, x.scoreRow))),
      sum.set(s.f32(0)),
      forVectors(s, seen, [p, d], [a, b], (vector) =>
        sum.set(f32x4.add(sum, vector.existing(f32x4.mul(vector.load(p), vector.load(d)), s.f32(0)))),
      ),
      sum.set(total(s, sum)),
      forVectors(s, seen, [p, d], [a, b], (vector) =>
        vector.store(
          d,
          f32x4.mul(f32x4.mul(vector.load(p), f32x4.sub(vector.load(d), sum)), f32x4.splat(x.scale)),
        ),
      ),
    ]);
    const one = f32.const(1);
    const body = loop(unit, unit, to, i32.const(1), [
      kvHead.set(i32.rem_u(unit, i32.div_u(x.heads, x.group))),
      batch.set(i32.div_u(unit, i32.div_u(x.heads, x.group))),
      k.set(w.at('k', batch, kvHead)),
      v.set(w.at('v', batch, kvHead)),
      dk.set(w.at('dk', batch, kvHead)),
      dv.set(w.at('dv', batch, kvHead)),
      w.packed('keysT', k, x.kDepth, x.kTime, x.depth, x.keys),
      w.packed('keys', k, x.kTime, x.kDepth, x.keys, x.depth),
      w.packed('valuesT', v, x.vDepth, x.vTime, x.width, x.keys),
      zero(dk, x.dkTime, x.keys, x.depth),
      zero(dv, x.dvTime, x.keys, x.width),
      last.set(times(i32.add(kvHead, i32.const(1)), x.group)),
      loop(head, times(kvHead, x.group), last, i32.const(1), [
        g.set(w.at('g', batch, head)),
        q.set(w.at('q', batch, head)),
        dq.set(w.at('dq', batch, head)),
        forBlocks(x.queries, query, rows, [
          w.weights(q, query, rows, seen),
          call(
            w.multiply,
            plus(g, times(query, x.gTime)), x.gTime, x.gDepth, w.part('valuesT'), PANEL, panelsOf(x.width),
            w.part('dScores'), x.scoreRow, rows, seen, x.width, one, i32.const(0), w.scratch,
          ),
          dScores,
          call(
            w.multiply,
            w.part('dScores'), x.scoreRow, i32.const(F32), w.part('keys'), PANEL, panelsOf(x.keys),
            plus(dq, times(query, x.dqTime)), x.dqTime, rows, x.depth, seen, one, i32.const(0), w.scratch,
          ),
          call(
            w.multiply,
            w.part('dScores'), i32.const(F32), x.scoreRow, plus(q, times(query, x.qTime)), x.qTime, PANEL,
            dk, x.dkTime, seen, x.depth, rows, one, i32.const(1), w.scratch,
          ),
          call(
            w.multiply,
            w.part('scores'), i32.const(F32), x.scoreRow, plus(g, times(query, x.gTime)), x.gTime, PANEL,
            dv, x.dvTime, seen, x.width, rows, one, i32.const(1), w.scratch,
          ),
        ]),
      ]),
    ]);
    return [s.before, body];
  },
); // prettier-ignore

/** Sets `query` to the first and `rows` to the number of each block of queries. */
const forBlocks = (queries: Local, query: Local, rows: Local, body: Code): Code =>
  loop(query, i32.const(0), queries, i32.const(BLOCK), [
    rows.set(i32.sub(queries, query)),
    when(i32.lt_u(i32.const(BLOCK), rows), rows.set(i32.const(BLOCK))),
    body,
  ]);
