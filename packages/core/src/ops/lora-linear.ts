import { apply, defineOp, type Cotangent, type Op } from '../op.ts';
import { sameShape, showShape } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { fail, like, wantSameDtype } from './check.ts';
import { add, mul } from './elementwise.ts';
import { linear, linearOp, rows, weightGradient } from './linear.ts';
import { matmul } from './matmul.ts';
import { replaceSlices, slice, type SliceChange, transpose } from './view.ts';

/** Where a low-rank branch adds to the output, and how strongly: s B A on `length` outputs from `start` on. */
interface Place {
  readonly start: number;
  readonly length: number;
  readonly scale: number;
}
export interface LoraLinearAttrs {
  readonly places: readonly Place[];
}

/** A branch's part of the inputs: z [..., in] (x, or x after dropout), A [r, in], B [length, r]. */
const branchOf = (inputs: readonly Tensor[], i: number): readonly [z: Tensor, A: Tensor, B: Tensor] => {
  const at = 2 + 3 * i;
  return [inputs[at]!, inputs[at + 1]!, inputs[at + 2]!];
};

/** The changes in lists of such as do not overlap, each in the outputs' order. */
function apart(changes: readonly SliceChange[]): SliceChange[][] {
  const lists: SliceChange[][] = [];
  for (const change of changes) {
    const free = lists.find((list) => {
      const { start, length } = list.at(-1)!;
      return start + length <= change.start;
    });
    if (free) free.push(change);
    else lists.push([change]);
  }
  return lists;
}

/** For each branch its part of g, and s · g B [..., r], which both ∂A and ∂z need. */
const backward = ({
  g,
  x,
  attrs,
  shared,
}: Cotangent<LoraLinearAttrs>): readonly { g: Tensor; gB: Tensor }[] =>
  shared(() =>
    attrs.places.map(({ start, length, scale }, i) => {
      const part = slice(g, -1, start, start + length);
      return { g: part, gB: mul(linear(part, transpose(branchOf(x, i)[2])), scale) };
    }),
  );

export const loraLinearOp: Op<LoraLinearAttrs> = defineOp({
  name: 'loraLinear',
  widens: [1],
  domain: (draw) => {
    const [lead, k, r, length] = [
      draw.shape([0, 2]),
      draw.integer(1, 5),
      draw.integer(1, 3),
      draw.integer(1, 3),
    ];
    const places = draw
      .pick([[0], [0, 2 * length], [length], [0, 0], [0, length, length, 2 * length]])
      .map((start) => ({ start, length, scale: draw.pick([0.5, 1, 2]) }));
    const out = draw.pick([3 * length, 3 * length + 1]);
    const [x, branch] = [
      { shape: [...lead, k] },
      [{ shape: [...lead, k] }, { shape: [r, k] }, { shape: [length, r] }],
    ];
    const bias = draw.integer(0, 1) ? [{ shape: [out] }] : [];
    return { inputs: [x, { shape: [out, k] }, ...places.flatMap(() => branch), ...bias], attrs: { places } };
  },
  out(inputs, { places }) {
    const [x, weight] = inputs as [Tensor, Tensor];
    const bias = inputs[2 + 3 * places.length];
    const [spec] = linearOp.out(bias ? [x, weight, bias] : [x, weight], {});
    const [out, k] = weight.shape as [number, number];
    places.forEach(({ start, length }, i) => {
      const [z, A, B] = branchOf(inputs, i);
      for (const t of [z, A, B]) wantSameDtype('loraLinear', x, t);
      if (start < 0 || start + length > out)
        fail('loraLinear', `outputs ${start} to ${start + length} of branch ${i} exceed the layer's ${out}`);
      if (!sameShape(z.shape, x.shape))
        fail('loraLinear', `z ${showShape(z.shape)} of branch ${i} has not x's shape ${showShape(x.shape)}`);
      if (
        A.rank !== 2 ||
        B.rank !== 2 ||
        A.shape[1] !== k ||
        B.shape[0] !== length ||
        A.shape[0] !== B.shape[1]
      )
        fail(
          'loraLinear',
          `A ${showShape(A.shape)} and B ${showShape(B.shape)} of branch ${i} are not [r, ${k}] and [${length}, r]`,
        );
    });
    return like(x, spec!.shape);
  },
  compose(inputs, { places }) {
    const [x, weight] = inputs as [Tensor, Tensor];
    const y = linear(x, weight, inputs[2 + 3 * places.length]); // W x + b
    const changes = places.map(({ start, length, scale }, i) => {
      const [z, A, B] = branchOf(inputs, i);
      return { start, length, change: (part: Tensor) => add(part, mul(linear(linear(z, A), B), scale)) }; // + s B (A z)
    });
    return apart(changes).reduce((sum, some) => replaceSlices(sum, -1, some), y);
  },
  vjp(c) {
    const [x, weight] = c.x as [Tensor, Tensor];
    if (c.index === 0) return linear(c.g, transpose(weight)); // ∂x = Wᵀ g; the branches' part comes by way of z
    if (c.index === 1) return weightGradient(c.g, x, weight); // nobody asks while W is frozen
    if (c.index === 2 + 3 * c.attrs.places.length) return c.g; // bias; summed to [out] in grad.ts
    const i = Math.floor((c.index - 2) / 3);
    const [z, A] = branchOf(c.x, i);
    const { g, gB } = backward(c)[i]!;
    if (c.index === 2 + 3 * i) return linear(gB, transpose(A)); // ∂z = s Aᵀ Bᵀ g
    if (c.index === 3 + 3 * i) return matmul(transpose(rows(gB)), rows(z)); // ∂A = s Bᵀ g zᵀ
    return mul(matmul(transpose(rows(g)), rows(linear(z, A))), c.attrs.places[i]!.scale); // ∂B = s g (A z)ᵀ
  },
  fused: 'loraLinear',
});

/** A low-rank branch of `loraLinear`. */
export interface LoraTerm {
  /** What A sees: x, or x after dropout; of x's shape. */
  readonly z: Tensor;
  /** [r, in] */
  readonly A: Tensor;
  /** [length, r] */
  readonly B: Tensor;
  /** s, e.g. α/r. */
  readonly scale: number;
  /** The first output that it adds to. Default 0. */
  readonly start?: number;
}

/**
 * W x + b + Σ s B (A z): a linear layer with low-rank branches, each on all outputs or on a slice of them. x [..., in],
 * weight [out, in], bias [out] → [..., out]. Outputs outside of every branch keep the bits of W x + b. One op, so that
 * its activations are those of the plain layer: A z and s B A z are not kept. https://arxiv.org/abs/2106.09685 eq. 3
 * @throws if shapes or dtypes do not fit, or a branch exceeds the outputs.
 */
export function loraLinear(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  branches: readonly LoraTerm[],
): Tensor {
  const sorted = [...branches].sort((a, b) => (a.start ?? 0) - (b.start ?? 0));
  const places = sorted.map(({ B, scale, start = 0 }) => ({ start, length: B.shape[0]!, scale }));
  const inputs = [x, weight, ...sorted.flatMap(({ z, A, B }) => [z, A, B]), ...(bias ? [bias] : [])];
  return apply(loraLinearOp, inputs, { places });
}
