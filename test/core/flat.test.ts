import {
  add, assign, type Backend, copyAlike, grad, mapRuns, mul, moveTogether, runsOf, scope, slice, sum, type Tensor,
  tensor, zeros,
} from '@bax/core'; // prettier-ignore
import { cpu } from '@bax/cpu';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { runs } from '../support/runs.ts';

let backend: Backend;
beforeEach(() => void (backend = cpu()));

const f32 = (values: number[], shape = [values.length]): Tensor => tensor(values, { shape, backend });
const valuesOf = (t: Tensor): number[] => [...t.peek()!];
const shapes = fc.array(fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 3 }), { minLength: 1, maxLength: 8 }); // prettier-ignore
let next = 0;
const numbered = (shape: readonly number[]): Tensor => {
  const size = shape.reduce((a, b) => a * b, 1);
  return f32(Array.from({ length: size }, () => ++next), [...shape]); // prettier-ignore
};
const memories = (tensors: readonly Tensor[]): number => new Set(tensors.map((t) => t.view.buffer)).size;

describe('moveTogether', () => {
  it('keeps shapes, values and bytes, and leaves one buffer', () => {
    fc.assert(
      fc.property(shapes, (list) => {
        const tensors = list.map(numbered);
        const before = tensors.map((t) => [t.shape, valuesOf(t)]);
        const { live } = backend.memory();
        moveTogether(tensors);
        expect(tensors.map((t) => [t.shape, valuesOf(t)])).toEqual(before);
        expect(backend.memory().live).toBe(live);
        const filled = tensors.filter((t) => t.size > 0);
        expect(memories(filled)).toBe(filled.length === 0 ? 0 : 1);
        // Vectors of four begin where kernels can read them.
        for (const t of filled) if (t.size % 4 === 0) expect(t.view.offset % 4).toBe(0);
        for (const t of tensors) t.dispose();
        expect(backend.memory().live).toBe(0);
      }),
      runs(100),
    );
  });

  it('leaves what is held narrow where it is, as it is', () => {
    const half = tensor([1, 2], { storage: 'f16', backend });
    const tensors = [f32([3]), half, f32([4])];
    moveTogether(tensors);
    expect([half.storage, ...valuesOf(half)]).toEqual(['f16', 1, 2]);
    expect(memories(tensors)).toBe(2);
  });

  it('is by dtype and backend', () => {
    const other = cpu();
    const tensors = [f32([1]), tensor([2], { dtype: 'f64', backend }), f32([3]), tensor([4], { backend: other }), tensor([5], { dtype: 'f64', backend })]; // prettier-ignore
    moveTogether(tensors);
    expect(tensors.map((t) => [t.dtype, t.backend === other, ...valuesOf(t)])).toEqual([
      ['f32', false, 1],
      ['f64', false, 2],
      ['f32', false, 3],
      ['f32', true, 4],
      ['f64', false, 5],
    ]);
    expect(memories(tensors)).toBe(3);
  });

  it('leaves what others see, and what lies apart', () => {
    const [a, b, c] = [f32([1, 2]), f32([3, 4]), f32([5, 6])];
    const seen = slice(b, 0, 1, 2);
    moveTogether([a, b, c]);
    expect(memories([a, c])).toBe(1);
    expect(seen.view.buffer).toBe(b.view.buffer);
    assign(b, f32([7, 8]));
    expect(valuesOf(seen)).toEqual([8]);
    const apart = f32([1, 2, 3, 4], [2, 2]).transpose();
    const buffer = apart.view.buffer;
    moveTogether([apart, f32([1])]);
    expect(apart.view.buffer).toBe(buffer);
  });

  it('ends a memory at 2^25 elements', () => {
    const tensors = [2 ** 24, 2 ** 24, 4].map((n) => zeros([n], { backend }));
    moveTogether(tensors);
    expect(tensors[0].view.buffer).toBe(tensors[1].view.buffer);
    expect(tensors[2].view.buffer).not.toBe(tensors[0].view.buffer);
    for (const t of tensors) t.dispose();
  });

  it('does not trouble a tape that was recorded before', () => {
    const [a, b, c] = [f32([2, 3]), f32([5, 7]), f32([1, 1])];
    assign(a, f32([2, 3]));
    assign(b, f32([5, 7])); // changed in place as often as a was; c never was
    for (const t of [a, b, c]) t.requiresGrad = true;
    const loss = sum(mul(mul(a, b), c));
    moveTogether([c, a, b]);
    expect(memories([a, b])).toBe(1);
    expect(grad(loss, [a, b, c]).map(valuesOf)).toEqual([
      [5, 7],
      [2, 3],
      [10, 21],
    ]);
  });

  it('each keeps a version of its own, and is changed with the whole', () => {
    const [a, b] = [f32([1, 2]), f32([3, 4])];
    a.requiresGrad = true;
    moveTogether([a, b]);
    const loss = (): Tensor => sum(mul(a, a));
    const first = loss();
    assign(b, f32([0, 0]));
    expect(grad(first, [a]).map(valuesOf)).toEqual([[2, 4]]);
    const second = loss();
    const [{ tensors }] = runsOf([a, b]);
    a.requiresGrad = false;
    assign(tensors[0], f32([5, 6, 7, 8]));
    expect(() => grad(second, [a])).toThrow('was changed in place after it was used');
    expect([a, b].map(valuesOf)).toEqual([[5, 6], [7, 8]]); // prettier-ignore
  });

  it('moves nothing again that was moved, and frees the memory with the last', () => {
    const [a, b, c] = [f32([1, 2]), f32([3, 4]), f32([5, 6])];
    moveTogether([a, b, c]);
    const { buffer } = a.view;
    moveTogether([a, c]);
    expect([a, c].map((t) => t.view.buffer)).toEqual([buffer, buffer]);
    const { live } = backend.memory();
    a.dispose();
    b.dispose();
    expect(backend.memory().live).toBe(live);
    c.dispose();
    expect(backend.memory().live).toBe(live - 24);
  });

  it('refuses results of recorded ops, and tensors that were freed', () => {
    const a = f32([1]);
    a.requiresGrad = true;
    expect(() => moveTogether([mul(a, 2)])).toThrow(
      'moveTogether: one of the tensors is the result of a recorded op',
    );
    const gone = f32([1]);
    gone.dispose();
    expect(() => moveTogether([gone])).toThrow('moveTogether: this tensor was freed by dispose()');
  });
});

describe('copyAlike, runsOf, mapRuns', () => {
  it('gradients lie as their parameters do, and are one run with them', () => {
    fc.assert(
      fc.property(shapes, fc.integer(), (list, seed) => {
        const params = list.map(numbered);
        const order = params.map((p, i) => [p, Math.sin(seed + i)] as const).toSorted((x, y) => x[1] - y[1]);
        moveTogether(order.map(([p]) => p));
        const grads = params.map(({ shape }) => numbered(shape));
        const laid = copyAlike(grads, params);
        expect(laid.map((t) => [t.shape, valuesOf(t)])).toEqual(grads.map((t) => [t.shape, valuesOf(t)]));
        const filled = params.flatMap((p, i) => (p.size > 0 ? [i] : []));
        const of = (ts: Tensor[]): Tensor[] => filled.map((i) => ts[i]);
        if (filled.length > 0) expect(runsOf(of(params), of(laid))).toHaveLength(1);
        const sums = mapRuns([params, laid], (p, g) => add(p, g));
        expect(sums.map((t) => [t.shape, valuesOf(t)])).toEqual(
          params.map((p, i) => [p.shape, valuesOf(p).map((x, k) => x + valuesOf(grads[i])[k])]),
        );
      }),
      runs(100),
    );
  });

  it('does not take for one run what has a gap, another order in one list, or repeats', () => {
    const whole = f32([1, 2, 3, 4, 5, 6]);
    const part = (from: number, to: number): Tensor => slice(whole, 0, from, to);
    const lengths = (...lists: Tensor[][]): number[] => runsOf(...lists).map(({ indices }) => indices.length);
    expect(lengths([part(0, 2), part(2, 6)])).toEqual([2]);
    expect(lengths([part(2, 6), part(0, 2)])).toEqual([2]);
    expect(lengths([part(0, 2), part(3, 6)])).toEqual([1, 1]);
    expect(lengths([part(0, 3), part(2, 6)])).toEqual([1, 1]);
    expect(lengths([part(0, 2), part(2, 4)], [part(2, 4), part(0, 2)])).toEqual([1, 1]);
    expect(lengths([part(0, 2), part(2, 4)], [f32([1, 2]), f32([3, 4])])).toEqual([1, 1]);
    expect(lengths([f32([1]), f32([2])])).toEqual([1, 1]);
  });

  it('one call of f for a run, and each result its own', () => {
    const params = [f32([1, 2, 3, 4]), f32([5, 6, 7, 8])];
    moveTogether(params);
    let calls = 0;
    const [a, b] = scope(() =>
      mapRuns([params], (x) => {
        calls++;
        return mul(x, 10);
      }),
    );
    expect([calls, valuesOf(a), valuesOf(b)]).toEqual([1, [10, 20, 30, 40], [50, 60, 70, 80]]);
    a.dispose();
    expect(valuesOf(b)).toEqual([50, 60, 70, 80]);
  });

  it('refuses lists of two lengths', () => {
    expect(() => copyAlike([f32([1])], [])).toThrow('copyAlike: 1 tensors cannot lie as 0 do');
  });
});
