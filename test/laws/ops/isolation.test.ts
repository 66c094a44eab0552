/** P54: a NaN stays in its row, forward and backward. On cpu and wasm; WGSL promises nothing about NaN. */
import { type ArgOptions, assertSameBits, type Call, firstDifference } from '@bax/check';
import {
  attention,
  crossEntropy,
  elementwiseOps,
  gather,
  type Op,
  ops,
  scope,
  sizeOf,
  sum,
  tensor,
  type Tensor,
  where,
  mul,
  grad,
  argmax,
} from '@bax/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { f64Cases, onEveryBackend } from '../../support/backends.ts';
import { argOf, free, plainInputs, read, resultAndGrads } from '../../support/calls.ts';
import { runs } from '../../support/runs.ts';

const named = (...names: string[]): [string, Op][] => names.map((name) => [name, ops.get(name)!]);

/** Runs `op` on arguments [rows, width] with a NaN in one place of the first float argument, and without it. */
async function spoilt(
  call: Call,
  place: number,
  options: ArgOptions,
): Promise<{ clean: ArrayLike<number>[]; dirty: ArrayLike<number>[] }> {
  const victim = call.args.findIndex((a) => a.kind === 'float');
  const args = call.args.map((a, i) => (i === victim ? { ...a, distinct: a.distinct.with(place, NaN) } : a));
  const results = async (c: Call): Promise<ArrayLike<number>[]> => {
    const tensors = scope(() =>
      resultAndGrads(c, plainInputs(c, { ...options, requiresGrad: true })).map((t, i) =>
        i === 0 ? t.detach() : t,
      ),
    );
    const values = await read(tensors);
    free(...tensors);
    return values;
  };
  return { clean: await results(call), dirty: await results({ ...call, args }) };
}

/** All but row `row` of rows of equal width. */
const others = (values: ArrayLike<number>, rows: number, row: number): number[] => {
  const width = values.length / rows;
  return Array.from(values).filter((_, i) => Math.floor(i / width) !== row);
};

const [ROWS, WIDTH] = [4, 3];
const real =
  (seed: number, low = 0.2, high = 2) =>
  (i: number): number =>
    low + (high - low) * ((0.618 * (i + 7 * seed + 1)) % 1);

const smallest = { integer: (min: number) => min, pick: <T>(list: readonly T[]) => list[0], shape: () => [] };
const elementwise = elementwiseOps.map((op): [string, Op] => [op.name, op as Op]);

const alongLast: [string, unknown][] = [
  ...named('sum', 'max', 'mean', 'logSumExp').map(([name]): [string, unknown] => [name, { axes: [1] }]),
  ['variance', { axes: [1], correction: 1 }],
  ['argmax', { axis: 1 }],
  ['softmax', { axis: 1 }],
  ['logSoftmax', { axis: 1 }],
  ['layerNorm', { eps: 1e-5 }],
  ['rmsNorm', { eps: 1e-5 }],
  ['matmul', {}],
  ['linear', {}],
];

onEveryBackend((on) => {
  describe.each(elementwise)('%s', (_, op) => {
    test('a NaN touches its own element alone', async () => {
      const { inputs } = op.domain(smallest);
      await fc.assert(
        fc.asyncProperty(fc.nat(ROWS * WIDTH - 1), async (place) => {
          const args = inputs.map((x, i) => ({
            ...argOf([ROWS, WIDTH], x.dtype === 'i32' ? (j) => j % 2 : real(i)),
            kind: x.dtype ?? ('float' as const),
          }));
          const { clean, dirty } = await spoilt({ op, args, attrs: { scalars: [] } }, place, on.f32);
          clean.forEach((values, i) =>
            assertSameBits(
              others(dirty[i], ROWS * WIDTH, place),
              others(values, ROWS * WIDTH, place),
              `${op.name} ${i}`,
            ),
          );
        }),
        runs(on.runs(5)),
      );
    });
  });

  describe.each(alongLast)('%s', (name, attrs) => {
    test.each([0, 1, 3])('a NaN in row %i touches that row alone', async (row) => {
      const op = ops.get(name)!;
      const extra: Record<string, number[][]> = {
        layerNorm: [[WIDTH], [WIDTH]],
        rmsNorm: [[WIDTH]],
        matmul: [[WIDTH, 5]],
        linear: [[5, WIDTH], [5]],
      };
      const shapes = [[ROWS, WIDTH], ...(extra[name] ?? [])];
      const args = shapes.map((shape, i) => argOf(shape, real(i)));
      const { clean, dirty } = await spoilt({ op, args, attrs }, row * WIDTH + 1, on.f32);
      // The result and the gradient of x have rows; a shared weight's gradient sums over them and has none.
      for (const i of clean.length > 1 ? [0, 1] : [0])
        assertSameBits(
          others(dirty[i], ROWS, row),
          others(clean[i], ROWS, row),
          `${name}, ${i === 0 ? 'result' : 'gradient'}`,
        );
      if (name !== 'argmax') expect(Array.from(dirty[0]).some(Number.isNaN)).toBe(true);
    });
  });

  const of = (shape: number[], value: (i: number) => number, requiresGrad = true): Tensor =>
    tensor(
      Float32Array.from({ length: sizeOf(shape) }, (_, i) => value(i)),
      { shape, backend: on.backend, requiresGrad },
    );
  const i32 = (values: number[], shape = [values.length]): Tensor =>
    tensor(values, { shape, dtype: 'i32', backend: on.backend });

  test('where: the side that is not chosen has no influence', async () => {
    const [a, b] = [of([4], (i) => (i % 2 ? NaN : i)), of([4], (i) => (i % 2 ? i : NaN))];
    const y = where(i32([1, 0, 1, 0]), a, b);
    expect([...(await y.data())]).toEqual([0, 1, 2, 3]);
    const [da, db] = grad(sum(mul(y, y)), [a, b]);
    expect([...(await da.data())]).toEqual([0, 0, 4, 0]);
    expect([...(await db.data())]).toEqual([0, 2, 0, 6]);
  });

  test('gather: a row that is not looked up has no influence', async () => {
    const table = of([4, 2], (i) => (i >> 1 === 2 ? NaN : i));
    const y = gather(table, i32([3, 0, 3]));
    expect([...(await y.data())]).toEqual([6, 7, 0, 1, 6, 7]);
    const [d] = grad(sum(mul(y, y)), [table]);
    expect([...(await d.data())]).toEqual([0, 2, 0, 0, 0, 0, 24, 28]);
  });

  test('attention: a hidden key may be anything, and one batch does not touch another', async () => {
    const shape = [2, 2, 3, 2];
    const [q, k, v] = [0, 1, 2].map((seed) => of(shape, real(seed, -1, 1)));
    const key = (i: number): number => Math.floor(i / 2) % 3;
    const spoiltKey = of(shape, (i) => (key(i) === 1 ? NaN : real(1, -1, 1)(i)));
    const mask = i32([1, 0, 1]);
    const clean = await attention(q, k, v, { mask }).data();
    assertSameBits(
      await attention(q, spoiltKey, v, { mask }).data(),
      clean,
      'attention with a hidden NaN key',
    );
    const spoiltBatch = of(shape, (i) => (i === 0 ? NaN : real(0, -1, 1)(i)));
    const dirty = await attention(spoiltBatch, k, v, { mask }).data();
    expect(firstDifference(others(dirty, 12, 0), others(clean, 12, 0))).toBe(-1);
  });

  test('attention, causal: a NaN in a later key touches no earlier row', async () => {
    const shape = [1, 1, 4, 2];
    const [q, k, v] = [0, 1, 2].map((seed) => of(shape, real(seed, -1, 1)));
    const late = of(shape, (i) => (i >= 6 ? NaN : real(1, -1, 1)(i)));
    const [clean, dirty] = [
      await attention(q, k, v, { causal: true }).data(),
      await attention(q, late, v, { causal: true }).data(),
    ];
    assertSameBits(dirty.slice(0, 6), clean.slice(0, 6), 'rows before the NaN');
    expect(Array.from(dirty.slice(6))).toEqual([NaN, NaN]);
  });

  test('crossEntropy: an ignored row may be anything', async () => {
    const targets = i32([1, -100, 2]);
    const logits = of([3, 3], (i) => (Math.floor(i / 3) === 1 ? NaN : i));
    const loss = crossEntropy(logits, targets);
    const without = crossEntropy(
      of([2, 3], (i) => (i < 3 ? i : i + 3)),
      i32([1, 2]),
    );
    assertSameBits(await loss.data(), await without.data(), 'loss');
    const d = await grad(loss, [logits])[0].data();
    expect(Array.from(d.slice(3, 6))).toEqual([0, 0, 0]);
    expect(Array.from(d).some(Number.isNaN)).toBe(false);
  });

  test('argmax gives an index even where all is NaN', async () => {
    const index = await argmax(of([2, 3], () => NaN)).data();
    for (const i of index) expect([0, 1, 2]).toContain(i);
  });
}, f64Cases); // those with IEEE numbers
