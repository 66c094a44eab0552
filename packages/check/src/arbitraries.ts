/** Random valid calls of any op, drawn by fast-check from the op's own `domain`, so that a failure shrinks to a small one. */
import {
  BaxError,
  type CreateOptions,
  type DType,
  type Draw,
  hostArray,
  type Op,
  scope,
  showShape,
  sizeOf,
  type Tensor,
  tensor,
} from '@bax/core';
import fc from 'fast-check';
import { blockTensor, distinctShape, drawLayout, type Layout, openLayout, plainLayout } from './layout.ts';
import { integers, type Mode, quarters, spread } from './values.ts';

/** One tensor that a law shall make: by `plainTensor` or, the same values held in another way, by `stridedTensor`. */
export interface Arg {
  readonly shape: readonly number[];
  readonly kind: 'float' | 'i32';
  /** Row-major, of the `distinctShape` of its layout. */
  readonly distinct: readonly number[];
  readonly layout: Layout;
}

/** A call that the op's shape rule accepts. */
export interface Call {
  readonly op: Op;
  readonly args: readonly Arg[];
  readonly attrs: unknown;
}

export interface CallOptions {
  readonly mode: Mode;
  /** Whether layouts are drawn; otherwise all are plain. Default false. */
  readonly views?: boolean;
}

/** Bounds of a drawn shape. */
export interface ShapeLimits {
  /** The longest axis. Default 7, so that ones and primes occur. */
  readonly longest?: number;
  /** The most elements. Default 60, so that a law runs in no time. */
  readonly most?: number;
}
/** As many values of an argument stand in a message. */
const MOST_SHOWN = 12;

/** Core's `Draw`, fed by fast-check: what it gives shrinks. */
export function drawer(g: fc.GeneratorValue, { longest = 7, most = 60 }: ShapeLimits = {}): Draw {
  const integer = (min: number, max: number): number => g(fc.integer, { min, max });
  return {
    integer,
    pick: (list) => list[integer(0, list.length - 1)]!,
    shape([min, max] = [0, 4]) {
      const shape: number[] = [];
      for (let rank = integer(min, max); rank > 0; rank--)
        shape.push(integer(1, Math.min(longest, Math.floor(most / sizeOf(shape)))));
      return integer(0, 1) === 0 ? shape : shape.reverse(); // else the last axes would always be the short ones
    },
  };
}

/** Calls of `op` from its domain. */
export const calls = (op: Op, { mode, views = false }: CallOptions): fc.Arbitrary<Call> =>
  fc.gen().map((g) => {
    const draw = drawer(g);
    const { inputs, attrs } = op.domain(draw);
    if (inputs.length === 0) throw new BaxError(`${op.name}: its domain drew a call without inputs`);
    let start = 0;
    const args = inputs.map(({ shape, dtype: kind = 'float', range = [-2, 2], values }): Arg => {
      const layout = views ? drawLayout(draw, shape, values === undefined) : plainLayout(shape);
      const n = sizeOf(distinctShape(shape, layout));
      const from = start;
      start += n;
      if (values) return { shape, kind, layout, distinct: values };
      const distinct =
        kind === 'i32'
          ? g(integers, n, range)
          : mode === 'int'
            ? g(quarters, n, range)
            : g(spread, n, range, from);
      return { shape, kind, layout, distinct };
    });
    return { op, args, attrs, toString: () => showCall(op.name, args, attrs) };
  });

/** `softcap([2] of 0.5 -1.25) with {"cap":2}`. */
function showCall(name: string, args: readonly Arg[], attrs: unknown): string {
  const shown = args.map((arg) => {
    const values = valuesOf(arg);
    const strided = arg.layout.order.some((axis, i) => axis !== i) || [...arg.layout.before, ...arg.layout.after].some((n) => n > 0); // prettier-ignore
    const held = arg.layout.repeat.includes(true) ? ', expanded' : strided ? ', strided' : '';
    return `${showShape(arg.shape)}${held} of ${values.slice(0, MOST_SHOWN).join(' ')}${values.length > MOST_SHOWN ? ' …' : ''}`;
  });
  const bare = attrs === undefined || (typeof attrs === 'object' && attrs !== null && Object.keys(attrs).length === 0); // prettier-ignore
  return `${name}(${shown.join('; ')})${bare ? '' : ` with ${fc.stringify(attrs)}`}`;
}

/** The values that a tensor of `arg` shows, row-major. */
export function valuesOf({ shape, distinct, layout: { repeat } }: Arg): number[] {
  let values = distinct;
  // Axis by axis from the last: what lies inside one step of a repeated axis is said again.
  for (let axis = shape.length - 1, inner = 1; axis >= 0; inner *= shape[axis--]!) {
    if (!repeat[axis]) continue;
    const step = inner;
    const rows = Array.from({ length: values.length / step }, (_, i) =>
      values.slice(i * step, (i + 1) * step),
    );
    values = rows.flatMap((row) => Array.from({ length: shape[axis]! }, () => row).flat());
  }
  return [...values];
}

export interface ArgOptions extends CreateOptions {
  /** The dtype of float arguments. */
  readonly dtype: Exclude<DType, 'i32'>;
}
const typed = (arg: Arg, { requiresGrad, ...options }: ArgOptions): CreateOptions & { dtype: DType } =>
  arg.kind === 'i32' ? { ...options, dtype: 'i32' } : { ...options, requiresGrad: requiresGrad ?? false };

/** The argument as a row-major tensor of its own. */
export function plainTensor(arg: Arg, options: ArgOptions): Tensor {
  const { dtype, ...rest } = typed(arg, options);
  const values = valuesOf(arg);
  const data = hostArray(dtype, values.length);
  data.set(values);
  return tensor(data, { ...rest, dtype, shape: arg.shape });
}

/**
 * The memory of the argument in its layout: make it, then `openLayout(block, arg.shape, arg.layout)` shows the values.
 * What the view must not read holds NaN (or, for i32, no valid index), unless `gap` says otherwise.
 */
export const blockOf = (
  arg: Arg,
  options: ArgOptions,
  gap: number = arg.kind === 'i32' ? -(2 ** 30) : NaN,
): Tensor => blockTensor(arg.distinct, arg.shape, arg.layout, gap, typed(arg, options));

/** The argument as a strided view: a leaf, without a tape. */
export function stridedTensor(arg: Arg, options: ArgOptions): Tensor {
  const { requiresGrad, ...rest } = options;
  const block = blockOf(arg, rest);
  const view = scope(() => openLayout(block, arg.shape, arg.layout));
  if (view !== block) block.dispose(); // the view holds the memory
  view.requiresGrad = (requiresGrad ?? false) && arg.kind === 'float';
  return view;
}
