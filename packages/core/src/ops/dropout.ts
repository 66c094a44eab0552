import { apply, defineOp, type Op } from '../op.ts';
import type { Key } from '../rng.ts';
import { composite } from '../scope.ts';
import type { Tensor } from '../tensor.ts';
import { fail, like, wantFloat } from './check.ts';
import { ge, mul, ushr, where } from './elementwise.ts';

export interface DropoutAttrs {
  readonly p: number;
  readonly key: Key;
}
interface BitsAttrs {
  readonly key: Key;
  readonly shape: readonly number[];
}

/** The result's elements are drawn from `key`; the input says only on which backend. */
export const randomBitsOp: Op<BitsAttrs> = defineOp({
  name: 'randomBits',
  discrete: true,
  domain: (draw) => ({
    inputs: [{ shape: [] }],
    attrs: { shape: draw.shape(), key: Uint32Array.of(draw.integer(0, 99), 7) },
  }),
  out: (_, { shape }) => [{ shape, dtype: 'i32' }],
  run: (backend, _, [out], { key }) => backend.random(key, out!),
});

/** 1 where an element of `shape` is kept, with probability 1 − p: 24 random bits against an integer threshold, the same on every backend. */
export function dropoutMask(like: Tensor, p: number, key: Key): Tensor {
  return composite(() =>
    ge(ushr(apply(randomBitsOp, [like], { key, shape: like.shape }), 8), Math.round(p * 2 ** 24)),
  );
}

const drop = (x: Tensor, { p, key }: DropoutAttrs): Tensor =>
  where(dropoutMask(x, p, key), mul(x, 1 / (1 - p)), 0);

export const dropoutOp: Op<DropoutAttrs> = defineOp({
  name: 'dropout',
  domain: (draw) => ({
    inputs: [{ shape: draw.shape() }],
    attrs: { p: draw.pick([0.1, 0.5, 0.75]), key: Uint32Array.of(draw.integer(0, 99), 1) },
  }),
  out: ([x]) => (wantFloat('dropout', x!), like(x!)),
  compose: ([x], attrs) => drop(x!, attrs),
  vjp: ({ g, attrs }) => apply(dropoutOp, [g], attrs), // the same key gives the same mask: nothing is kept for the backward walk
  fused: 'dropout',
});

/**
 * Zeroes elements with probability p and multiplies the others by 1/(1 − p). The mask depends on the key alone: fold
 * the step and the layer's path into it.
 * @throws unless 0 ≤ p < 1.
 */
export function dropout(x: Tensor, { p, key }: DropoutAttrs): Tensor {
  if (!(p >= 0 && p < 1)) fail('dropout', `p is ${p}; it must lie in [0, 1)`);
  return p === 0 ? x : apply(dropoutOp, [x], { p, key });
}
