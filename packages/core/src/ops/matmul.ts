import { apply, defineOp, type Op } from '../op.ts';
import { broadcastShapes, showShape } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { expandView } from '../view.ts';
import { fail, like, wantSameDtype } from './check.ts';
import { transpose } from './view.ts';

export const matmulOp: Op<object> = defineOp({
  name: 'matmul',
  widens: 'all',
  domain: (draw) => {
    const [m, k, n] = [draw.integer(1, 5), draw.integer(1, 5), draw.integer(1, 5)];
    const batch = draw.shape([0, 2]);
    const own = batch
      .slice(draw.integer(0, batch.length))
      .map((length) => (draw.integer(0, 2) === 0 ? 1 : length));
    return { inputs: [{ shape: [...batch, m, k] }, { shape: [...own, k, n] }], attrs: {} };
  },
  out([a, b]) {
    wantSameDtype('matmul', a!, b!);
    const shapes = `a ${showShape(a!.shape)} x b ${showShape(b!.shape)}`;
    if (a!.rank < 2 || b!.rank < 2)
      fail('matmul', `needs matrices: ${shapes}; reshape a vector to [1, k] or [k, 1]`);
    const [k, k2] = [a!.shape.at(-1)!, b!.shape.at(-2)!];
    if (k !== k2) fail('matmul', `inner dimensions differ: ${shapes}  (${k} != ${k2})`);
    const batch = broadcastShapes(a!.shape.slice(0, -2), b!.shape.slice(0, -2));
    if (!batch) return fail('matmul', `batch dimensions do not broadcast: ${shapes}`);
    return like(a!, [...batch, a!.shape.at(-2)!, b!.shape.at(-1)!]);
  },
  run(backend, [a, b], [out]) {
    const batch = out!.shape.slice(0, -2);
    backend.matmul(
      expandView(a!, [...batch, ...a!.shape.slice(-2)]),
      expandView(b!, [...batch, ...b!.shape.slice(-2)]),
      out!,
    );
  },
  // Nobody asks for the gradient of a frozen weight, so that product never runs: this is what LoRA saves.
  vjp: [({ g, x }) => matmul(g, transpose(x[1]!)), ({ g, x }) => matmul(transpose(x[0]!), g)],
});

/**
 * Matrix product over the last two axes: [..., m, k] · [..., k, n] → [..., m, n]; leading axes broadcast. Transposed
 * and expanded views cost no copy.
 */
export const matmul = (a: Tensor, b: Tensor): Tensor => apply(matmulOp, [a, b], {});
