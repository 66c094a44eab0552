/** Rule 5: the composition is the definition. A gradient rule beside it equals the differentiated composition. */
import { assertWithin, type Call } from '@bax/check';
import { grad, scope, type Tensor } from '@bax/core';
import { describe, expect, test } from 'vitest';
import { onEveryBackend } from '../../support/backends.ts';
import { cotangentOf, everyOp, forCalls, plainInputs, read, run } from '../../support/calls.ts';

const both = everyOp.filter(([, op]) => op.compose && op.vjp);

test('the ops with a rule beside their composition', () => {
  expect(both.map(([name]) => name)).toEqual(
    expect.arrayContaining(['softmax', 'layerNorm', 'attention', 'crossEntropy']),
  );
});

onEveryBackend((on) => {
  describe.each(both)('%s', (_, op) => {
    test('values and gradients equal those of the composition', async () => {
      await forCalls(op, { mode: 'real', runs: on.runs(60) }, async (call: Call) => {
        const inputs = plainInputs(call, { ...on.widest, requiresGrad: true });
        const wanted = inputs.filter((x) => x.dtype === on.widest.dtype);
        const valuesOf = (make: () => Tensor): Promise<ArrayLike<number>[]> => read(scope(() => {
        const y = make();
        return [...grad(y, wanted, { cotangent: cotangentOf(y), allowUnused: true }), y.detach()];
      })); // prettier-ignore
        const ruled = await valuesOf(() => run(call, inputs));
        const composed = await valuesOf(() => op.compose!(inputs, call.attrs) as Tensor);
        ruled.forEach((values, i) => {
          const size = Math.max(1, ...Array.from(composed[i], Math.abs));
          assertWithin(
            values,
            composed[i],
            (on.hasF64 ? 1e-11 : 2 ** -17) * size,
            `${op.name}: ${i < wanted.length ? `∂x${i}` : 'y'}`,
          );
        });
      });
    });
  });
});
