import { constantLike, positions } from '../create.ts';
import { apply, defineOp, type Draw, type Op, type Sample } from '../op.ts';
import { sameShape, showShape, sizeOf } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { fail, like, wantFloat, wantIndex } from './check.ts';
import { cast, div, eq, mul, ne, neg, sub, where } from './elementwise.ts';
import { sum } from './reduce.ts';
import { logSoftmax, softmax, softmaxGradOp } from './softmax.ts';
import { reshape } from './view.ts';

export interface CrossEntropyAttrs {
  readonly ignoreIndex: number;
}

/** 1 at each row's target, 0 elsewhere; an ignored row has none. */
const oneHot = (logits: Tensor, targets: Tensor): Tensor =>
  eq(positions(logits.shape, logits.rank - 1, logits.backend), reshape(targets, [...targets.shape, 1]));
const validCount = (targets: Tensor, ignoreIndex: number, like: Tensor): Tensor =>
  cast(sum(ne(targets, ignoreIndex)), like.dtype);

function anyTargets(draw: Draw): Sample<CrossEntropyAttrs> {
  const classes = draw.integer(1, 6);
  const rows = draw.shape([0, 2]);
  const values = Array.from({ length: sizeOf(rows) }, (_, i) =>
    i === 0 ? classes - 1 : draw.integer(0, classes - 1),
  );
  const ignoreIndex = classes > 1 ? draw.pick([-100, 0]) : -100; // never the first target: one must count
  return {
    inputs: [
      { shape: [...rows, classes], range: [-3, 3] },
      { shape: rows, dtype: 'i32', values },
    ],
    attrs: { ignoreIndex },
  };
}

/** ∂logits of crossEntropy, from g (a scalar) and its inputs: g / n · (softmax(logits) − onehot(target)), 0 in ignored rows. */
export const crossEntropyGradOp: Op<CrossEntropyAttrs> = defineOp({
  name: 'crossEntropyGrad',
  domain(draw) {
    const { inputs, attrs } = anyTargets(draw);
    return { inputs: [{ shape: [] }, ...inputs], attrs };
  },
  out: ([, logits]) => like(logits!),
  compose([g, logits, targets], { ignoreIndex }) {
    const valid = ne(reshape(targets!, [...targets!.shape, 1]), ignoreIndex);
    const difference = sub(softmax(logits!), cast(oneHot(logits!, targets!), logits!.dtype));
    return mul(where(valid, difference, 0), div(g!, validCount(targets!, ignoreIndex, logits!)));
  },
  vjp({ g: h, x: [g, logits, targets], attrs, index }) {
    const { ignoreIndex } = attrs;
    const one = constantLike(g!, 1);
    if (index === 0) return sum(mul(h, apply(crossEntropyGradOp, [one, logits!, targets!], attrs)));
    if (index === 2) return undefined;
    const valid = ne(reshape(targets!, [...targets!.shape, 1]), ignoreIndex);
    const change = apply(softmaxGradOp, [h, softmax(logits!)], { axis: logits!.rank - 1 });
    return mul(where(valid, change, 0), div(g!, validCount(targets!, ignoreIndex, logits!)));
  },
  fused: 'crossEntropyGrad',
});

export const crossEntropyOp: Op<CrossEntropyAttrs> = defineOp({
  name: 'crossEntropy',
  domain: anyTargets,
  out([logits, targets], { ignoreIndex }) {
    wantFloat('crossEntropy', logits!, 'logits');
    wantIndex('crossEntropy', targets!, 'targets');
    if (logits!.rank < 1 || !sameShape(logits!.shape.slice(0, -1), targets!.shape))
      fail(
        'crossEntropy',
        `targets ${showShape(targets!.shape)} do not fit logits ${showShape(logits!.shape)} = [...targets, classes]`,
      );
    checkTargets(targets!, logits!.shape.at(-1)!, ignoreIndex);
    return [{ shape: [], dtype: logits!.dtype }];
  },
  compose([logits, targets], { ignoreIndex }) {
    const hit = where(
      ne(reshape(targets!, [...targets!.shape, 1]), ignoreIndex),
      oneHot(logits!, targets!),
      0,
    );
    return div(neg(sum(where(hit, logSoftmax(logits!), 0))), validCount(targets!, ignoreIndex, logits!));
  },
  vjp: ({ g, x, attrs, index }) => (index === 1 ? undefined : apply(crossEntropyGradOp, [g, ...x], attrs)),
  fused: 'crossEntropy',
});

/** Only where the host can see the targets without waiting; elsewhere a bad target has no one-hot, and no valid one gives NaN. */
function checkTargets(targets: Tensor, classes: number, ignoreIndex: number): void {
  const values = targets.peek();
  if (!values) return;
  let valid = 0;
  values.forEach((target, i) => {
    if (target === ignoreIndex) return;
    if (target < 0 || target >= classes)
      fail('crossEntropy', `target ${target} at position ${i} is not one of the ${classes} classes`);
    valid++;
  });
  if (valid === 0)
    fail(
      'crossEntropy',
      `none of the ${values.length} targets counts: all equal ignoreIndex (${ignoreIndex})`,
    );
}

/**
 * The mean of −log softmax(logits)[target] over the targets that are not `ignoreIndex`; a scalar. logits [..., classes],
 * targets (i32) [...]. Ignored rows get a gradient of exactly 0.
 * @throws if no target counts, or one is outside of the classes.
 */
export const crossEntropy = (
  logits: Tensor,
  targets: Tensor,
  { ignoreIndex = -100 }: Partial<CrossEntropyAttrs> = {},
): Tensor => apply(crossEntropyOp, [logits, targets], { ignoreIndex });
