import { assertSameBits, assertWithin, type Call } from '@bax/check';
import { noGrad, ops, sizeOf } from '@bax/core';
import { describe, expect, test } from 'vitest';
import { onEveryBackend } from '../../support/backends.ts';
import { everyOp, forCalls, free, plainInputs, read, run, runAll } from '../../support/calls.ts';

test('no two ops share a name', async () => {
  const { elementwiseOps, reduceOps, viewOps } = await import('@bax/core');
  const lists = [...elementwiseOps, ...reduceOps, ...viewOps];
  expect(new Set(lists.map((op) => op.name)).size).toBe(lists.length);
  for (const op of lists) expect(ops.get(op.name)).toBe(op);
});

describe.each(everyOp)('%s', (_, op) => {
  test('is a view, a backend call or a composition, and is discrete or can be differentiated', () => {
    expect(['view', 'run', 'compose'].filter((kind) => kind in op)).toHaveLength(1);
    expect(op.discrete || 'vjp' in op || 'compose' in op).toBe(true);
    if (Array.isArray(op.vjp)) expect(op.vjp.length).toBeGreaterThan(0);
  });
});

onEveryBackend((on) => {
  describe.each(on.ops(everyOp))('%s', (_, op) => {
    test('the shape rule is the shape of the result', async () => {
      await forCalls(op, { mode: 'real', runs: on.runs(60) }, async (call: Call) => {
        const inputs = plainInputs(call, on.f32);
        const specs = op.out(inputs, call.attrs);
        const ys = noGrad(() => runAll(call, inputs));
        expect(ys.map(({ shape, dtype }) => ({ shape, dtype }))).toEqual(specs);
        const values = await read(ys);
        values.forEach((v, i) => expect(v).toHaveLength(sizeOf(specs[i].shape)));
        for (const y of ys) expect(y.backend).toBe(on.backend);
        if (op.compose) {
          const composed = noGrad(() => op.compose!(inputs, call.attrs));
          const list = Array.isArray(composed) ? composed : [composed];
          expect(list.map(({ shape, dtype }) => ({ shape, dtype }))).toEqual(specs);
          // Rule 5: a kernel of the backend's own equals the composition, but for the order in which it rounds.
          const own = op.fused !== undefined && on.backend.fused?.[op.fused];
          for (const [i, y] of list.entries()) {
            const [expected, what] = [await y.data(), `${op.name} and its composition`];
            const rounding = on.backend.info.roundoff > 2 ** -24 ? 2 ** -16 : 2 ** -19; // WGSL's roots and quotients are coarser
            const bound = rounding * Math.max(1, ...Array.from(expected, Math.abs));
            if (own) assertWithin(values[i], expected, bound, what);
            else assertSameBits(values[i], expected, what);
          }
        }
        free(...inputs, ...ys);
      });
    });

    test('nothing is recorded for inputs that need no gradient, and nothing of a discrete op', async () => {
      await forCalls(op, { mode: 'real', runs: on.runs(5) }, async (call: Call) => {
        const inputs = plainInputs(call, on.f32);
        expect(run(call, inputs).tracked).toBe(false);
        const [tracked] = [plainInputs(call, { ...on.f32, requiresGrad: true })];
        expect(run(call, tracked).tracked).toBe(!op.discrete);
        expect(noGrad(() => run(call, tracked)).tracked).toBe(false);
      });
    });
  });
});
