/** P52: no op and no gradient changes what it reads; asking twice gives the same bits. P55, small: neither does other work. */
import { assertSameBits, type Call } from '@bax/check';
import { backward, grad, mul, scope, sum, type Tensor, type TypedArray } from '@bax/core';
import { describe, expect, test } from 'vitest';
import { onEveryBackend } from '../../support/backends.ts';
import {
  cotangentOf,
  everyOp,
  forCalls,
  free,
  read,
  resultAndGrads,
  run,
  smoothOps,
  stridedInputs,
} from '../../support/calls.ts';

/** All of the memory behind the inputs, the gaps of their views too. */
const memories = (inputs: readonly Tensor[]): Promise<TypedArray[]> =>
  Promise.all(inputs.map((x) => x.backend.read(x.view.buffer)));

async function expectUntouched(inputs: readonly Tensor[], f: () => Promise<void>): Promise<void> {
  const before = await memories(inputs);
  const versions = inputs.map((x) => x.hold.memory.version);
  await f();
  expect(await memories(inputs)).toEqual(before);
  expect(inputs.map((x) => x.hold.memory.version)).toEqual(versions);
}

onEveryBackend((on) => {
  describe.each(on.ops(everyOp))('%s', (_, op) => {
    test('changes no input, and twenty runs give the same bits', async () => {
      await forCalls(op, { mode: 'real', views: true, runs: on.runs(10) }, async (call: Call) => {
        const inputs = stridedInputs(call, { ...on.f32, requiresGrad: true });
        await expectUntouched(inputs, async () => {
          const all = scope(() =>
            Array.from({ length: 20 }, () => resultAndGrads(call, inputs).map((t) => t.detach())),
          );
          const [first, ...others] = await Promise.all(all.map(read));
          for (const other of others)
            other.forEach((values, i) => assertSameBits(values, first[i], `${op.name} again, ${i}`));
          free(...all.flat());
        });
        free(...inputs);
      });
    });
  });

  describe.each(on.ops(smoothOps))('%s', (_, op) => {
    test('grad twice over one tape gives the same bits; backward twice adds up to double', async () => {
      await forCalls(op, { mode: 'real', runs: on.runs(8) }, async (call: Call) => {
        const inputs = stridedInputs(call, { ...on.f32, requiresGrad: true });
        const params = inputs.filter((x) => x.dtype === 'f32');
        await expectUntouched(inputs, async () => {
          const y = run(call, inputs);
          const loss = sum(mul(y, cotangentOf(y)));
          const options = { retain: true, allowUnused: true };
          const first = await read(grad(loss, params, options));
          const second = await read(grad(loss, params, options));
          backward(loss, { retain: true });
          backward(loss);
          params.forEach((p, i) =>
            assertSameBits(second[i], first[i], `${op.name}: the second gradient of x${i}`),
          );
          const sums = await read(params.map((p) => p.grad!));
          sums.forEach((values, i) =>
            assertSameBits(
              values,
              Float32Array.from(first[i], (g) => 2 * g),
              `${op.name}: x${i}.grad`,
            ),
          );
        });
        free(...inputs);
      });
    });
  });
});
