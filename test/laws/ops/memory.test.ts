/** Law 6: what an op or a gradient needed on the way is given back. */
import type { Call } from '@bax/check';
import { grad, noGrad, type Op, scope, type Tensor } from '@bax/core';
import { describe, expect, test } from 'vitest';
import { onEveryBackend } from '../../support/backends.ts';
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

onEveryBackend((on) => {
  const live = (): [number, number] => [on.backend.memory().live, on.backend.memory().buffers];
  /** The bytes that a backend takes to hold it: some give memory out in larger pieces. */
  const cost = ({ size, dtype }: Tensor): number => {
    const before = on.backend.memory().live;
    const buffer = on.backend.alloc(size, dtype);
    const bytes = on.backend.memory().live - before;
    on.backend.free(buffer);
    return bytes;
  };
  const calm = (op: Op, law: (call: Call) => void): Promise<void> =>
    forCalls(op, { mode: 'real', views: true, runs: on.runs(15) }, async (call) => {
      scope(() => void resultAndGrads(call, plainInputs(call, { ...on.f32, requiresGrad: true }))); // the constants that stay
      law(call);
    });

  describe.each(on.ops(everyOp))('%s', (_, op) => {
    test('a scope leaks nothing', async () => {
      await calm(op, (call) => {
        const before = live();
        scope(() => void resultAndGrads(call, stridedInputs(call, { ...on.f32, requiresGrad: true })));
        expect(live()).toEqual(before);
        const failing = (): void => scope(() => {
        resultAndGrads(call, plainInputs(call, { ...on.f32, requiresGrad: true }));
        throw new Error('on purpose');
      }); // prettier-ignore
        expect(failing).toThrow('on purpose');
        expect(live()).toEqual(before);
      });
    });

    test('without a scope only the result is left', async () => {
      await calm(op, (call) => {
        const inputs = plainInputs(call, on.f32);
        const before = live();
        const y = noGrad(() => run(call, inputs));
        const held = op.view ? 0 : cost(y);
        expect(live()).toEqual([before[0] + held, before[1] + (op.view ? 0 : 1)]);
        y.dispose();
        expect(live()).toEqual(before);
        inputs.forEach((x) => x.dispose());
      });
    });
  });

  describe.each(on.ops(smoothOps))('%s', (_, op) => {
    test('without a scope only the gradients are left of grad', async () => {
      await calm(op, (call) => {
        const inputs = plainInputs(call, { ...on.f32, requiresGrad: true });
        const params = inputs.filter((x) => x.dtype === 'f32');
        const before = live();
        const y = run(call, inputs);
        const cotangent = cotangentOf(y);
        const grads = grad(y, params, { cotangent, allowUnused: true });
        cotangent.dispose();
        y.dispose();
        const bytes = grads.reduce((n, g) => n + cost(g), 0);
        expect(live()).toEqual([before[0] + bytes, before[1] + grads.length]);
        grads.forEach((g) => g.dispose());
        expect(live()).toEqual(before);
        inputs.forEach((x) => x.dispose());
      });
    });
  });
});
