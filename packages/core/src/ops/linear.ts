import * as e from '../expr.ts';
import { apply, defineOp, type Op } from '../op.ts';
import { showShape, sizeOf } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { expandView, permuteView, reshapeView } from '../view.ts';
import { fail, like, wantSameDtype } from './check.ts';
import { matmul } from './matmul.ts';
import { reshape, transpose } from './view.ts';

/** [..., n] as a matrix of rows [N, n]: what a weight's gradient sums over. */
export const rows = (x: Tensor): Tensor => reshape(x, [sizeOf(x.shape.slice(0, -1)), x.shape.at(-1)!]);

/** gᵀ x [out, in], summed over all rows, in the order in which the weight lies in memory: GPT-2 keeps its own as [in, out]. */
export const weightGradient = (g: Tensor, x: Tensor, weight: Tensor): Tensor => {
  const [out, k] = weight.view.strides as [number, number];
  return out < k ? transpose(matmul(transpose(rows(x)), rows(g))) : matmul(transpose(rows(g)), rows(x));
};

export const linearOp: Op<object> = defineOp({
  name: 'linear',
  widens: 'all',
  domain: (draw) => {
    const [lead, k, out] = [draw.shape([0, 2]), draw.integer(1, 6), draw.integer(1, 6)];
    const inputs = [{ shape: [...lead, k] }, { shape: [out, k] }, { shape: [out] }];
    return { inputs: inputs.slice(0, draw.integer(2, 3)), attrs: {} };
  },
  out([x, weight, bias]) {
    wantSameDtype('linear', x!, weight!);
    if (weight!.rank !== 2) fail('linear', `weight ${showShape(weight!.shape)} is not a matrix [out, in]`);
    if (x!.rank < 1) fail('linear', 'x is a scalar; it needs a last axis of length in');
    const [out, k] = weight!.shape as [number, number];
    if (x!.shape.at(-1) !== k)
      fail(
        'linear',
        `x ${showShape(x!.shape)} does not fit weight ${showShape(weight!.shape)} = [out, in]  (${x!.shape.at(-1)} != ${k})`,
      );
    if (bias) {
      wantSameDtype('linear', x!, bias);
      if (bias.rank !== 1 || bias.shape[0] !== out)
        fail('linear', `bias ${showShape(bias.shape)} is not [out] = [${out}]`);
    }
    return like(x!, [...x!.shape.slice(0, -1), out]);
  },
  run(backend, [x, weight, bias], [y]) {
    const [out, k] = weight!.shape as [number, number];
    const n = sizeOf(x!.shape.slice(0, -1));
    if (bias)
      backend.map(
        e.scalarFn(y!.buffer.type as 'f32', 1, 0, [e.input(0)]),
        [expandView(bias, y!.shape)],
        [y!],
        [],
      );
    // One product, or one for each batch where the rows do not lie evenly apart.
    const flat = reshapeView(x!, [n, k]);
    const [a, into] = flat ? [flat, reshapeView(y!, [n, out])!] : [x!, y!];
    const transposed = expandView(permuteView(weight!, [1, 0]), [...a.shape.slice(0, -2), k, out]);
    backend.matmul(a, transposed, into, { accumulate: bias !== undefined });
  },
  vjp: [
    ({ g, x }) => linear(g, transpose(x[1]!)),
    ({ g, x }) => weightGradient(g, x[0]!, x[1]!),
    ({ g }) => g, // summed to [out] in grad.ts
  ],
  fused: 'linear',
});

/** y = x Wᵀ + b for x [..., in], weight [out, in], bias [out] → [..., out]. */
export const linear = (x: Tensor, weight: Tensor, bias?: Tensor): Tensor =>
  apply(linearOp, bias ? [x, weight, bias] : [x, weight], {});
