/**
 * Lesson 8: write your own op
 *
 * A function made of ops is differentiated by itself, and mostly that is enough. An op of one's own
 * has a gradient of one's own: worth it where a better one is known than the chain rule finds, and
 * a place for mistakes that no type checker sees. We write the branch of LoRA as one op, prove it,
 * and then break it in four ways.
 *
 *     npm run learn -- 8
 */
import { CheckError, checkOp, gradcheck } from '@bax/check';
import {
  apply, BaxError, defineOp, linear, matmul, mul, randn, scope, setBackend, showShape, slice, sub,
  tapeOf, tensor, transpose, valueAndGrad, type Op, type Tensor, type Vjp,
} from '@bax/core'; // prettier-ignore
import { cpu } from '@bax/cpu';

setBackend(cpu());

// 1. One literal
//
// y = s · B (A x), for rows: x [N, in] → y [N, out]. `compose` says in other ops what the op is,
// `out` which shape comes out, and refuses what does not fit. `domain` draws calls that do fit, for
// the proof below. `vjp` has a rule for each input: it gets g = ∂L/∂y and gives ∂L/∂(that input).
// Those of A and B are the formulas of lesson 5, with rows for columns.
interface Scale {
  readonly scale: number;
}
const toX: Vjp<Scale> = ({ g, x: [, A, B], attrs }) => mul(matmul(matmul(g, B), A), attrs.scale);
const toA: Vjp<Scale> = ({ g, x: [x, , B], attrs }) => mul(matmul(transpose(matmul(g, B)), x), attrs.scale);
const toB: Vjp<Scale> = ({ g, x: [x, A], attrs }) => mul(matmul(transpose(g), linear(x, A)), attrs.scale);

const lowRankOp: Op<Scale> = defineOp<Scale>({
  name: 'lowRank',
  domain(draw) {
    const [N, k, r, out] = [draw.integer(1, 5), draw.integer(1, 5), draw.integer(1, 3), draw.integer(1, 5)];
    return {
      inputs: [{ shape: [N, k] }, { shape: [r, k] }, { shape: [out, r] }],
      attrs: { scale: draw.pick([0.5, 3]) },
    };
  },
  out([x, A, B]) {
    const shapes = `x ${showShape(x.shape)}, A ${showShape(A.shape)}, B ${showShape(B.shape)}`;
    if (x.shape[1] !== A.shape[1] || A.shape[0] !== B.shape[1])
      throw new BaxError(`lowRank: ${shapes} are not [N, in], [r, in], [out, r]`);
    return [{ shape: [x.shape[0], B.shape[0]], dtype: x.dtype }];
  },
  compose: ([x, A, B], { scale }) => mul(linear(linear(x, A), B), scale), // linear(x, A) is x Aᵀ
  vjp: [toX, toA, toB],
});
const lowRank = (x: Tensor, A: Tensor, B: Tensor, scale: number): Tensor =>
  apply(lowRankOp, [x, A, B], { scale });

console.log('1. One literal');
const [one, a, b] = [tensor([[1, 2]]), tensor([[3, 4]]), tensor([[5], [6]])]; // x [1, 2], A [1, 2], B [2, 1]
const byHand = [5, 6].map((v) => 2 * v * (3 * 1 + 4 * 2));
console.log(`   y = [${(await lowRank(one, a, b, 2).data()).join(', ')}], by hand [${byHand.join(', ')}]`);
try {
  lowRank(one, b, a, 2);
} catch (error) {
  console.log(`   A and B exchanged: ${(error as Error).message}`);
}

// 2. The proof
//
// `checkOp` draws random calls and tries on each what bax's own ops must obey: that the shape is
// the one that `out` says, that views behave as copies do, that no input is written to, that
// nothing leaks, and above all that each gradient is what the function does. That last one is
// lesson 1's "by trying": a step to both sides, along a random direction, in f64. It can be asked
// alone, of any function and at a point of one's choice, by `gradcheck`.
console.log('\n2. The proof');

const few = { runs: 0.3 }; // a third of the usual cases
const { passed } = await checkOp(lowRankOp, few);
for (const { name, cases } of passed) console.log(`   ${name.padEnd(30)} ${String(cases).padStart(3)} calls`);

const random = (shape: readonly number[], key: number): Tensor => randn(shape, { key, dtype: 'f64' });
const [x, A, B] = [random([6, 5], 1), random([2, 5], 2), random([4, 2], 3)];
const { checked, worst } = await gradcheck(() => lowRank(x, A, B, 3), { x, A, B });
console.log(
  `   gradcheck: ${checked} directions, off by at most ${(100 * worst).toFixed(0)} % of what rounding explains`,
);

// 3. Wrong gradients
//
// Four mistakes as they are made. The outputs stay right, and training may even seem to work, only
// worse. The proof sees each of them, and says at which input.
console.log('\n3. Wrong gradients');

const wrong: Readonly<Record<string, readonly Vjp<Scale>[]>> = {
  'A: s is forgotten': [toX, (c) => toA({ ...c, attrs: { scale: 1 } }), toB],
  'B: the sign is wrong': [toX, toA, (c) => toB(c)!.neg()],
  'x: nothing is passed on': [() => undefined, toA, toB],
  'B: one example counts': [
    toX,
    toA,
    ({ g, x, ...c }) => toB({ ...c, g: slice(g, 0, 1), x: [slice(x[0], 0, 1), ...x.slice(1)] }),
  ],
};
/** What the proof says of other rules. */
async function complaint(vjp: readonly Vjp<Scale>[]): Promise<string> {
  try {
    await checkOp({ ...lowRankOp, vjp }, { only: 'gradient on cpu' });
    return 'nothing';
  } catch (error) {
    if (error instanceof CheckError) return error.message;
    throw error;
  }
}
for (const [what, vjp] of Object.entries(wrong)) {
  const moved = /moved +x(\d)/.exec(await complaint(vjp));
  console.log(
    `   ${what.padEnd(24)} ${moved ? `caught, at ${['x', 'A', 'B'][Number(moved[1])]}` : 'not noticed'}`,
  );
}
// The first complaint in full: what `grad` says and what the function does, on the smallest call on
// which they differ, and how to try that call again. (x0, x1, x2 are the inputs: x, A, B.)
const [first] = Object.values(wrong);
console.log(`\n${(await complaint(first)).replaceAll(/^/gm, '   | ')}`);

// 4. What it was good for
//
// The tape keeps what each step may need on the way back. Of the composition it keeps every step,
// of our op one: A x is calculated anew where a rule wants it, r numbers for each example. bax's
// own `loraLinear` does the same for W x + s · B A x.
console.log('\n4. What it was good for');

const composed = (): Tensor => mul(linear(linear(x, A), B), 3);
const own = (): Tensor => lowRank(x, A, B, 3);
for (const [what, f] of [
  ['composed', composed],
  ['our op', own],
] as const) {
  const steps = scope(() => {
    for (const p of [A, B]) p.requiresGrad = true;
    return tapeOf(f()).map(({ op, outputs }) => `${op.name} ${showShape(outputs[0].shape)}`);
  });
  console.log(`   ${what.padEnd(9)} ${steps.length} on the tape: ${steps.join(', ')}`);
}
const gradients = (f: () => Tensor): Tensor[] => valueAndGrad(() => f().sum(), [x, A, B]).grads;
const [ours, theirs] = [gradients(own), gradients(composed)];
const apart = await Promise.all(ours.map((g, i) => sub(g, theirs[i]).abs().max().item()));
console.log(`   their gradients are ${+Math.max(...apart).toPrecision(2)} apart`);

// Try
//
// - A.shape[0] for B.shape[0] in `out`: another law is the first to complain, on a call where the
//   two differ.
// - A function needs no rules: checkOp((x) => tanh(x).pow(3), { domain: (draw) => [{ shape:
//   draw.shape() }] }).
