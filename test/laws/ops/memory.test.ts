/** Law 6: what an op or a gradient needed on the way is given back. */
import type { Call } from '@bax/check';
import { grad, noGrad, type Op, scope } from '@bax/core';
import { cpu } from '@bax/cpu';
import { describe, expect, test } from 'vitest';
import {
  cotangentOf,
  everyOp,
  forCalls,
  plainInputs,
  resultAndGrads,
  run,
  smoothOps,
  stridedInputs,
} from '../../support/calls.ts';

const backend = cpu();
const f32 = { dtype: 'f32', backend } as const;
const live = (): [number, number] => [backend.memory().live, backend.memory().buffers];
const calm = (op: Op, law: (call: Call) => void): Promise<void> =>
  forCalls(op, { mode: 'real', views: true, runs: 15 }, async (call) => {
    scope(() => void resultAndGrads(call, plainInputs(call, { ...f32, requiresGrad: true }))); // the constants that stay
    law(call);
  });

describe.each(everyOp)('%s', (_, op) => {
  test('a scope leaks nothing', async () => {
    await calm(op, (call) => {
      const before = live();
      scope(() => void resultAndGrads(call, stridedInputs(call, { ...f32, requiresGrad: true })));
      expect(live()).toEqual(before);
      const failing = (): void => scope(() => {
        resultAndGrads(call, plainInputs(call, { ...f32, requiresGrad: true }));
        throw new Error('on purpose');
      }); // prettier-ignore
      expect(failing).toThrow('on purpose');
      expect(live()).toEqual(before);
    });
  });

  test('without a scope only the result is left', async () => {
    await calm(op, (call) => {
      const inputs = plainInputs(call, f32);
      const before = live();
      const y = noGrad(() => run(call, inputs));
      const held = op.view ? 0 : y.bytes;
      expect(live()).toEqual([before[0] + held, before[1] + (op.view ? 0 : 1)]);
      y.dispose();
      expect(live()).toEqual(before);
      inputs.forEach((x) => x.dispose());
    });
  });
});

describe.each(smoothOps)('%s', (_, op) => {
  test('without a scope only the gradients are left of grad', async () => {
    await calm(op, (call) => {
      const inputs = plainInputs(call, { ...f32, requiresGrad: true });
      const params = inputs.filter((x) => x.dtype === 'f32');
      const before = live();
      const y = run(call, inputs);
      const cotangent = cotangentOf(y);
      const grads = grad(y, params, { cotangent, allowUnused: true });
      cotangent.dispose();
      y.dispose();
      const bytes = grads.reduce((n, g) => n + g.bytes, 0);
      expect(live()).toEqual([before[0] + bytes, before[1] + grads.length]);
      grads.forEach((g) => g.dispose());
      expect(live()).toEqual(before);
      inputs.forEach((x) => x.dispose());
    });
  });
});
