/** P32: of an op that is linear in each argument, differences with whole steps are the gradient, bit for bit, in plain f32. */
import { assertSameBits } from '@bax/check';
import { grad, noGrad, ops, tensor, type Tensor } from '@bax/core';
import { describe, expect, test } from 'vitest';
import { onEveryBackend } from '../../support/backends.ts';
import { cotangentOf, forCalls, plainInputs, run } from '../../support/calls.ts';

const linear = [
  'add',
  'sub',
  'mul',
  'neg',
  'where',
  'castF64',
  'copy',
  'sum',
  'reshape',
  'permute',
  'expand',
  'slice',
  'concat',
  'pad',
  'matmul',
  'linear',
  'gather',
  'scatterAdd',
];

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((s, x, i) => s + x * b[i], 0);

test('every op named here exists', () => {
  for (const name of linear) expect(ops.has(name), name).toBe(true);
});

onEveryBackend((on) => {
  describe.each(on.ops(linear.map((name): [string, string] => [name, name])))('%s', (name) => {
    test('L(x + E) − L(x − E) = 2⟨∇, E⟩ along each argument', async () => {
      await forCalls(ops.get(name)!, { mode: 'int', runs: on.runs(40) }, async (call) => {
        const inputs = plainInputs(call, { ...on.f32, requiresGrad: true });
        const y = run(call, inputs);
        const c = cotangentOf(y);
        const weights = await c.data();
        const params = inputs.filter((x) => x.dtype === 'f32');
        const grads = grad(y, params, { cotangent: c, allowUnused: true, retain: true });
        for (const [i, x] of inputs.entries()) {
          if (x.dtype !== 'f32') continue;
          const values = await x.data();
          const step = Float32Array.from(values, (_, j) => ((5 * j + i) % 5) - 2);
          const loss = async (sign: number): Promise<number> => {
            const moved: Tensor[] = inputs.with(
              i,
              tensor(
                Float32Array.from(values, (v, j) => v + sign * step[j]),
                { shape: x.shape, backend: on.backend },
              ),
            );
            return dot(await noGrad(() => run(call, moved)).data(), weights);
          };
          const slope = dot(await grads[params.indexOf(x)].data(), step);
          assertSameBits([(await loss(1)) - (await loss(-1))], [2 * slope], `${name} along argument ${i}`);
        }
      });
    });
  });
});
