/**
 * Lesson 2: the tape
 *
 * In lesson 1 the chain rule was ours to apply. A program can do it, if it notes what it
 * calculates: a list of every step, with what went in and what came out. That list is the tape.
 * Read backwards it gives all gradients at once, however many there are, for a few times the cost
 * of the calculation itself. We build one, and then look at the one in bax.
 *
 *     npm run learn -- 2
 */
import { add, explain, grad, mul, observe, setBackend, tanh, tapeOf, tensor, type Tensor } from '@bax/core';
import { cpu } from '@bax/cpu';

// 1. A tape of one's own
//
// Each step notes its result, and how fast that changes with each thing that it was made of. A
// product p q changes by q with p, and by p with q.
interface Step {
  readonly what: string;
  readonly value: number;
  /** What it was made of: the step, and ∂(this value)/∂(that value). */
  readonly from: readonly (readonly [step: Step, local: number])[];
  /** ∂y/∂(this value), once we have walked back. */
  slope: number;
}
const tape: Step[] = [];
const note = (what: string, value: number, ...from: Step['from']): Step => {
  const step = { what, value, from, slope: 0 };
  tape.push(step);
  return step;
};
const plus = (p: Step, q: Step): Step => note(`${p.what} + ${q.what}`, p.value + q.value, [p, 1], [q, 1]);
const times = (p: Step, q: Step): Step =>
  note(`${p.what} ${q.what}`, p.value * q.value, [p, q.value], [q, p.value]);
const tanhOf = (p: Step): Step => {
  const value = Math.tanh(p.value);
  return note(`tanh(${p.what})`, value, [p, 1 - value ** 2]);
};

// A neuron with a gate, y = x tanh(w x + b). x is used twice: there are two ways from it to y.
const [w, x, b] = [note('w', 0.5), note('x', 2), note('b', -0.3)];
const y = times(x, tanhOf(plus(times(w, x), b)));

// Back from y, whose own slope is 1. Each step hands its slope on to what it was made of, times how
// fast it changes with it. What comes along several ways is added up: that is all there is to it,
// and it has a name, backpropagation.
y.slope = 1;
for (const step of tape.toReversed())
  for (const [source, local] of step.from) source.slope += step.slope * local;

console.log('1. A tape of our own: what was calculated, downwards; ∂y/∂(it), upwards');
for (const { what, value, slope } of tape)
  console.log(
    `   ${what.padEnd(18)} = ${value.toFixed(4).padStart(7)}   slope ${slope.toFixed(4).padStart(7)}`,
  );

// 2. The tape of bax
//
// The same neuron of tensors. Every op goes through one function of the core, `apply`, which notes
// it if something that went in has a gradient to be known (a parameter, or what was made of one).
// `explain` prints what it noted: %n is the n-th step, [] the shape of a single number.
console.log('\n2. The tape of bax');

setBackend(cpu());
const parameter = (value: number): Tensor => tensor(value, { dtype: 'f64', requiresGrad: true });
const [W, X, B] = [parameter(w.value), parameter(x.value), parameter(b.value)];
const neuron = (): Tensor => mul(X, tanh(add(mul(W, X), B)));

const Y = neuron();
console.log(explain(Y).replaceAll(/^/gm, '   '));

const slopes = await Promise.all(grad(Y, [W, X, B]).map((g) => g.item()));
const apart = Math.max(...slopes.map((slope, i) => Math.abs(slope - [w, x, b][i].slope)));
console.log(
  `   slopes of w, x, b: ${slopes.map((v) => v.toFixed(4)).join(', ')}; off ours by ${+apart.toPrecision(2)}`,
);

// 3. A tape is used up
//
// To go back, a step may need what went in (a product needs both its factors), so the tape holds on to all of
// it: the activations, for which training takes so much more memory than use. `grad` lets go of
// each after its last use. Asked once more, it says so; `retain: true` keeps the tape.
console.log('\n3. A tape is used up');

const steps = tapeOf(neuron());
console.log(`   before grad: ${steps.length} steps, ${steps.map(({ op }) => op.name).join(', ')}`);
console.log(`   after it:    ${tapeOf(Y).length}`);
try {
  grad(Y, [W]);
} catch (error) {
  console.log(`   grad again:  ${(error as Error).message}`);
}

// 4. What is not asked for is not calculated
//
// The walk goes only where something asked for lies. Its steps are ops as well: mul' is the slope
// so far times what mul changes by with one of its inputs. (A sum needs no step, it hands its slope
// on as it is.) Back to w, x and b there are two for each product, one for tanh, and an add that
// brings the two ways to x together; back to b alone, only what lies between.
//
// For one neuron that is a small thing. For a Transformer of which only small matrices are trained
// it is a good part of the work: this is the first thing that LoRA saves.
console.log('\n4. What is not asked for is not calculated');

for (const [names, wanted] of [
  ['w, x and b', [W, X, B]],
  ['b alone', [B]],
] as const) {
  const output = neuron();
  const ops: string[] = [];
  observe(
    (op) => ops.push(op),
    () => grad(output, wanted),
  );
  console.log(`   back to ${names}: ${ops.length} ops, ${ops.join(', ')}`);
}

// Try
//
// - In `times`, note [p, p.value] for [p, q.value]: ours and bax now disagree. Which slopes are
//   wrong, and why not b's?
// - Write `sin` for our tape, and use it and bax's `sin` in the place of tanh: its local slope is
//   cos.
