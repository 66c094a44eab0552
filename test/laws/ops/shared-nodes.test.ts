/** P59: a tensor that is used several times gets the sum of what its uses ask of it. */
import { type ArgOptions, assertSameBits, type Call, plainTensor } from '@bax/check';
import {
  grad,
  matmul,
  maximum,
  mul,
  neg,
  relu,
  scope,
  sub,
  sum,
  add,
  type Tensor,
  tensor,
  transpose,
  where,
  lt,
} from '@bax/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { onEveryBackend } from '../../support/backends.ts';
import { argOf, everyOp, forCalls, plainInputs, read, run } from '../../support/calls.ts';
import { runs } from '../../support/runs.ts';

const binary = everyOp.filter(([name]) =>
  ['add', 'sub', 'mul', 'maximum', 'minimum', 'where', 'matmul', 'concat'].includes(name),
);

/** A scalar that weighs each element by another small integer. */
function weighted(y: Tensor): Tensor {
  const weights = argOf(y.shape, (i) => (i % 5) - 2);
  return sum(mul(y, plainTensor(weights, { dtype: y.dtype as 'f64' | 'f32', backend: y.backend })));
}

/** A program: each step computes from two earlier values. The first ones are the leaves. */
interface Step {
  readonly f: keyof typeof functions;
  readonly a: number;
  readonly b: number;
}
const functions = {
  add,
  sub,
  mul,
  matmul,
  maximum,
  transposed: (a: Tensor, b: Tensor) => matmul(a, transpose(b)),
  select: (a: Tensor, b: Tensor) => where(lt(a, b), b, neg(a)),
  hinge: (a: Tensor, b: Tensor) => relu(sub(a, b)),
} as const;
const LEAVES = 2;
const programs: fc.Arbitrary<Step[]> = fc
  .array(
    fc.record({
      f: fc.constantFrom(...(Object.keys(functions) as (keyof typeof functions)[])),
      a: fc.nat(),
      b: fc.nat(),
    }),
    { minLength: 1, maxLength: 7 },
  )
  .map((steps) => steps.map(({ f, a, b }, i) => ({ f, a: a % (i + LEAVES), b: b % (i + LEAVES) })));

/** Each value computed once. */
function shared(steps: readonly Step[], leaves: readonly Tensor[]): Tensor {
  const values = [...leaves];
  for (const { f, a, b } of steps) values.push(functions[f](values[a], values[b]));
  return values.at(-1)!;
}
/** Each value computed anew for each use: a tree. */
function copied(steps: readonly Step[], leaves: readonly Tensor[], at = steps.length + LEAVES - 1): Tensor {
  if (at < LEAVES) return leaves[at];
  const { f, a, b } = steps[at - LEAVES];
  return functions[f](copied(steps, leaves, a), copied(steps, leaves, b));
}

onEveryBackend((on) => {
  const wide = (): ArgOptions => ({ ...on.widest, requiresGrad: true });
  /** Integers below it are exact in any order; larger ones are no proof. */
  const limit = on.hasF64 ? 2 ** 40 : 2 ** 16;

  describe.each(binary)('%s', (_, op) => {
    test('∇f(x, x) = ∂₁f + ∂₂f', async () => {
      await forCalls(op, { mode: 'int', runs: on.runs(30) }, async (call: Call) => {
        // The first float argument's values for every float argument, in a shape that fits itself.
        const first = call.args.find((a) => a.kind === 'float')!;
        const side = Math.max(1, Math.floor(Math.sqrt(first.distinct.length)));
        const square = argOf([side, side], (i) => first.distinct[i]);
        const args = call.args.map((a) =>
          a.kind === 'float' ? square : { ...argOf([side, side], (i) => i % 2), kind: a.kind },
        );
        const attrs = op.name === 'concat' ? { axis: 0 } : call.attrs;
        const one = plainTensor(square, wide());
        const apart = plainInputs({ ...call, args }, wide());
        const gradients = (inputs: readonly Tensor[]): Promise<ArrayLike<number>[]> => {
          const wanted = [...new Set(inputs.filter((x) => x.dtype !== 'i32'))];
          return read(scope(() => grad(weighted(run({ op, attrs }, inputs)), wanted)));
        };
        const [together] = await gradients(apart.map((x) => (x.dtype !== 'i32' ? one : x)));
        const [da, db] = await gradients(apart);
        assertSameBits(
          together,
          Array.from(da, (g, i) => g + db[i]),
          `∇${op.name}(x, x)`,
        );
      });
    });
  });

  test('a random graph with reuse = the same with a copy for each use', async () => {
    let counted = 0;
    const small = fc.array(fc.integer({ min: -2, max: 2 }), { minLength: 8, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(programs, small, async (steps, values) => {
        const leaves = [values.slice(0, 4), values.slice(4)].map((v) =>
          tensor(v, { shape: [2, 2], ...on.widest, requiresGrad: true }),
        );
        const gradients = (f: typeof shared): Promise<ArrayLike<number>[]> =>
        read(scope(() => {
          const y = f(steps, leaves);
          const value = y.detach();
          return [...grad(weighted(y), leaves, { allowUnused: true }), value];
        })); // prettier-ignore
        const [once, often] = [await gradients(shared), await gradients(copied)];
        fc.pre(once.every((all) => Array.from(all).every((x) => Math.abs(x) < limit)));
        once.forEach((all, i) => assertSameBits(all, often[i], i < LEAVES ? `∂leaf ${i}` : 'value'));
        counted++;
      }),
      runs(on.runs(300)),
    );
    expect(counted).toBeGreaterThanOrEqual(on.runs(300));
  });
});
