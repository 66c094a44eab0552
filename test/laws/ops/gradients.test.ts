/** Law 2: the gradient rule of every op is the derivative of what the op does; and so is the gradient of that. */
import { type Call, plainTensor } from '@bax/check';
import { concat, grad, mul, type Op, reshape, sum, type Tensor } from '@bax/core';
import { describe, test } from 'vitest';
import { f64Cases, onEveryBackend } from '../../support/backends.ts';
import { argOf, forCalls, free, onBlocks, plainInputs, run, smoothOps } from '../../support/calls.ts';
import { smoothCheck } from '../../support/smooth.ts';

const floatsOf = (call: Call, inputs: readonly Tensor[]): Record<string, Tensor> =>
  Object.fromEntries(inputs.flatMap((x, i) => (call.args[i].kind === 'float' ? [[`x${i}`, x]] : [])));

/** The gradients of ⟨c, op(x)⟩ with respect to all float inputs, as one flat tensor that keeps its own tape. */
function gradients(call: Call, inputs: readonly Tensor[], c: Tensor): Tensor {
  const wanted = Object.values(floatsOf(call, inputs));
  for (const x of [...wanted, c]) x.requiresGrad = true;
  const loss = sum(mul(c, run(call, inputs)));
  const grads = grad(loss, wanted, { createGraph: true, allowUnused: true });
  return concat(grads.map((g) => reshape(g, [g.size])));
}

onEveryBackend((on) => {
  describe.each(smoothOps)('%s', (_, op: Op) => {
    test('gradient = central differences, for each input and for all together', async () => {
      await forCalls(op, { mode: 'real', runs: on.runs(25) }, async (call) => {
        const inputs = plainInputs(call, on.f64);
        await smoothCheck(() => run(call, inputs), floatsOf(call, inputs), { directions: 2 });
        free(...inputs);
      });
    });

    test('the same through permuted, sliced and expanded views', async () => {
      await forCalls(op, { mode: 'real', views: true, runs: on.runs(15) }, async (call) => {
        const { blocks, result } = onBlocks(call, on.f64);
        await smoothCheck(result, blocks, { directions: 1 });
        free(...Object.values(blocks));
      });
    });

    test('the gradient of the gradient = central differences of the gradient', async () => {
      await forCalls(op, { mode: 'real', runs: on.runs(10) }, async (call) => {
        const inputs = plainInputs(call, on.f64);
        const y = run(call, inputs);
        const c = plainTensor(
          argOf(y.shape, (i) => Math.sin(3 * i + 1)),
          { ...on.f64, dtype: y.dtype as 'f64' },
        );
        free(y);
        const moved = { ...floatsOf(call, inputs), cotangent: c };
        // A longer step: what cancels inside a gradient is rounded at a size that the result no longer shows.
        await smoothCheck(() => gradients(call, inputs, c), moved, { directions: 1, h: 1e-4 });
        free(...inputs, c);
      });
    });
  });
}, f64Cases);
