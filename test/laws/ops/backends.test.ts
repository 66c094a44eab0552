/**
 * P31: every backend computes what the cpu does. What sums and products of small numbers give is equal bit for bit
 * in every order, and so are their gradients. Anything else, and real numbers, lie within f32's rounding of the cpu's f64.
 */
import { assertSameBits, assertWithin, type Call } from '@bax/check';
import { type Backend, scope } from '@bax/core';
import { cpu } from '@bax/cpu';
import { describe, expect, test } from 'vitest';
import { backendCases, onEveryBackend } from '../../support/backends.ts';
import {
  everyOp,
  exactOps,
  forCalls,
  free,
  plainInputs,
  read,
  resultAndGrads,
  stridedInputs,
} from '../../support/calls.ts';

const reference = cpu();

/** The result and the gradients of all float inputs. */
async function results(
  call: Call,
  make: typeof plainInputs,
  dtype: 'f32' | 'f64',
  backend: Backend,
): Promise<ArrayLike<number>[]> {
  const tensors = scope(() => {
    const [y, ...grads] = resultAndGrads(call, make(call, { dtype, backend, requiresGrad: true }));
    return [y.detach(), ...grads];
  });
  const values = await read(tensors);
  free(...tensors);
  return values;
}

const largest = (values: ArrayLike<number>, least = 1): number =>
  Array.from(values).reduce((m, x) => Math.max(m, Math.abs(x)), least);
/** Roundings of up to some hundred terms, of which a few cancel: 2^-17 of the largest number in sight. */
const F32 = 2 ** -17;
const F64 = 2 ** -44;

test('the ops of which bits are demanded exist', () => {
  const names = everyOp.map(([name]) => name);
  expect([...exactOps].filter((name) => !names.includes(name))).toEqual([]);
});

const others = backendCases.filter(({ name }) => name !== 'cpu');
onEveryBackend((on) => {
  describe.each(on.ops(everyOp))('%s', (name, op) => {
    test('small numbers', async () => {
      await forCalls(op, { mode: 'int', views: true, runs: on.runs(60) }, async (call) => {
        const ours = await results(call, stridedInputs, 'f32', on.backend);
        const theirs = await results(call, plainInputs, 'f32', reference);
        expect(ours).toHaveLength(theirs.length);
        theirs.forEach((values, i) => {
          const what = i === 0 ? name : `the gradient of ${name}, ${i - 1}`;
          if (exactOps.has(name)) assertSameBits(ours[i], values, what);
          else assertWithin(ours[i], values, F32 * largest(values), what);
        });
      });
    });

    test('real numbers', async () => {
      await forCalls(op, { mode: 'real', views: true, runs: on.runs(40) }, async (call) => {
        const exact = await results(call, plainInputs, 'f64', reference);
        const near = await results(call, stridedInputs, 'f32', on.backend);
        const wide = on.hasF64 ? await results(call, stridedInputs, 'f64', on.backend) : undefined;
        const floor = await results(call, plainInputs, 'f32', reference);
        exact.forEach((values, i) => {
          const what = i === 0 ? name : `the gradient of ${name}, ${i - 1}`;
          // Where what cancels inside is larger than what comes out, the cpu's own error says how much f32 loses there.
          const lost = largest(
            Array.from(floor[i]!, (x, j) => x - values[j]!),
            0,
          );
          assertWithin(near[i]!, values, F32 * largest(values) + 8 * lost, `${what}, f32`);
          if (wide) assertWithin(wide[i], values, F64 * largest(values), `${what}, f64`);
        });
      });
    });
  });
}, others);
