/** P53: an op cannot tell a view from its contiguous copy, neither forward nor backward. */
import { type ArgOptions, assertSameBits, assertWithin, type Call } from '@bax/check';
import { scope } from '@bax/core';
import { cpu } from '@bax/cpu';
import { describe, test } from 'vitest';
import { onEveryBackend } from '../../support/backends.ts';
import {
  everyOp,
  forCalls,
  free,
  plainInputs,
  read,
  resultAndGrads,
  stridedInputs,
} from '../../support/calls.ts';

/** Whether f32 could hold the values without rounding and did: then every order of summation gives the same bits. */
const exact = (narrow: ArrayLike<number>, wide: ArrayLike<number>): boolean =>
  Array.from(narrow).every((x, i) => x === wide[i] && Number.isInteger(x * 2 ** 8));
const largest = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((m, x) => Math.max(m, Math.abs(x)), 0);

async function results(
  call: Call,
  make: typeof plainInputs,
  options: ArgOptions,
): Promise<ArrayLike<number>[]> {
  const tensors = scope(() => {
    const [y, ...grads] = resultAndGrads(call, make(call, { ...options, requiresGrad: true }));
    return [y.detach(), ...grads];
  });
  const values = await read(tensors);
  free(...tensors);
  return values;
}

const exactly: ArgOptions = { dtype: 'f64', backend: cpu() };

onEveryBackend((on) => {
  describe.each(on.ops(everyOp))('%s', (_, op) => {
    test('small numbers: the same bits', async () => {
      await forCalls(op, { mode: 'int', views: true, runs: on.runs(40) }, async (call) => {
        const plain = await results(call, plainInputs, on.f32);
        const strided = await results(call, stridedInputs, on.f32);
        const reference = await results(call, plainInputs, exactly);
        plain.forEach((values, i) => {
          const what =
            i === 0 ? `${op.name} of views` : `the gradient of ${op.name} for views, input ${i - 1}`;
          if (exact(values, reference[i])) assertSameBits(strided[i], values, what);
          else assertWithin(strided[i], values, 2 ** -18 * largest(values), what);
        });
      });
    });

    test('real numbers: within rounding', async () => {
      await forCalls(op, { mode: 'real', views: true, runs: on.runs(20) }, async (call) => {
        const plain = await results(call, plainInputs, on.widest);
        const strided = await results(call, stridedInputs, on.widest);
        const rounding = on.hasF64 ? 2 ** -44 : 2 ** -17;
        plain.forEach((values, i) =>
          assertWithin(strided[i], values, rounding * largest(values), `${op.name} of views, ${i}`),
        );
      });
    });
  });
});
