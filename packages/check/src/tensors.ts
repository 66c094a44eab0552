/** Random shapes and tensors for fast-check. */
import { type CreateOptions, hostArray, type Shape, sizeOf, type Tensor, tensor } from '@bax/core';
import fc from 'fast-check';
import { drawer, type ShapeLimits, stridedTensor } from './arbitraries.ts';
import { distinctShape, drawLayout, plainLayout } from './layout.ts';
import { integers, type Range, uniform, wide } from './values.ts';

export interface ShapeOptions extends ShapeLimits {
  /** The fewest and the most axes. Default [0, 4]. */
  readonly rank?: readonly [min: number, max: number];
}

/** Shapes, of lengths from 1; they shrink to fewer and shorter axes. */
export const shapes = ({ rank = [0, 4], ...limits }: ShapeOptions = {}): fc.Arbitrary<number[]> =>
  fc.gen().map((g) => drawer(g, limits).shape(rank));

/**
 * The ranges of integer mode: with sizes up to 16 and a scale α/r of 1/2, 1, 2, 3 or 4 each sum of
 * h = W x + b + (α/r) B A x and of its gradients for a cotangent G is exact in f32 in any order, so that bits may be demanded.
 */
export const LORA_RANGES: Readonly<Record<'W' | 'A' | 'B' | 'x' | 'bias' | 'G', Range>> = {
  W: [-8, 8],
  A: [-2, 2],
  B: [-2, 2],
  x: [-4, 4],
  bias: [-8, 8],
  G: [-4, 4],
};

export interface TensorArbitraryOptions extends ShapeOptions, CreateOptions {
  /** This shape, or one of these. Default: `shapes` within the limits. */
  readonly shape?: Shape | fc.Arbitrary<Shape>;
  /**
   * - `int`: whole numbers in `range`: sums and products of few are exact in every order, so that bits may be demanded.
   * - `real`: numbers as programs hold them: 0, ± log-uniform in [2^-10, 2^10], or normal; uniform if a `range` is given.
   *
   * Whole numbers prove indexing and algebra, real ones prove precision. Default `real`.
   */
  readonly mode?: 'int' | 'real';
  /** Default [-4, 4] of integers. */
  readonly range?: Range;
  /** Draw layouts too: permuted, sliced out of something larger, expanded. What lies between the elements is NaN. Default false. */
  readonly views?: boolean;
}

const isShape = (shape: Shape | fc.Arbitrary<Shape>): shape is Shape => Array.isArray(shape);

/** Tensors, made as they are drawn, on the default backend unless one is named; they shrink to smaller shapes and values. */
export function tensors(options: TensorArbitraryOptions = {}): fc.Arbitrary<Tensor> {
  const { shape, rank, longest, most, mode = 'real', range, views = false, ...create } = options;
  const { dtype = 'f32', requiresGrad = false } = create;
  const limits = { ...(longest === undefined ? {} : { longest }), ...(most === undefined ? {} : { most }) };
  const drawn = shape ?? shapes({ ...limits, ...(rank ? { rank } : {}) });
  const shapeOf = (): fc.Arbitrary<Shape> => (isShape(drawn) ? fc.constant(drawn) : drawn);
  const whole = mode === 'int' || dtype === 'i32';
  return fc.gen().map((g) => {
    const own = g(shapeOf);
    const layout = views ? drawLayout(drawer(g), own, true) : plainLayout(own);
    const n = sizeOf(distinctShape(own, layout));
    const distinct = whole ? g(integers, n, range ?? [-4, 4]) : range ? g(uniform, n, range) : g(wide, n);
    if (views && dtype !== 'i32')
      return stridedTensor(
        { shape: own, kind: 'float', distinct, layout },
        { ...create, dtype, requiresGrad },
      );
    if (views)
      return stridedTensor({ shape: own, kind: 'i32', distinct, layout }, { ...create, dtype: 'f32' });
    const data = hostArray(dtype, n);
    data.set(distinct);
    return tensor(data, { ...create, dtype, shape: own });
  });
}
