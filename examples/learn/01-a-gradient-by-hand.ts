/**
 * Lesson 1: a gradient by hand
 *
 * To train is to ask one question again and again: if I move this number a little, does the error
 * rise or fall, and how fast? The answers for all numbers together are the gradient. Here we find
 * one in three ways: with a pencil, by trying, and with bax.
 *
 *     npm run learn -- 1
 */
import { grad, mean, setBackend, tensor } from '@bax/core';
import { cpu } from '@bax/cpu';

// 1. The loss
//
// A thermometer with two scales was read four times, in tens of °C and tens of °F. We look for the
// line t = w x + b through the readings: w is its slope, b where it begins. One number says how bad
// a line is, the loss: the mean of the squared errors,
//
//     e_i = w x_i + b − t_i        L = (e_1² + … + e_n²) / n
console.log('1. The loss');

const x = [0, 1, 2, 3]; // tens of °C
const t = [3.2, 5, 6.8, 8.6]; // tens of °F
const n = x.length;

const errorsOf = (w: number, b: number): number[] => x.map((xi, i) => w * xi + b - t[i]);
const lossOf = (w: number, b: number): number => errorsOf(w, b).reduce((sum, e) => sum + e * e, 0) / n;

const [w, b] = [1, 1]; // a first guess
console.log(`   at w = ${w}, b = ${b}: L = ${lossOf(w, b).toFixed(4)} (tens of °F)²`);

// 2. With a pencil
//
// The chain rule goes through the formula from its end to its beginning. L depends on each e_i, and
// e_i on w and on b:
//
//     ∂L/∂e_i = 2 e_i / n        ∂e_i/∂w = x_i        ∂e_i/∂b = 1
//
// w reaches L by way of all the errors, so what comes along each way is added up:
//
//     ∂L/∂w = Σ (2 e_i / n) x_i        ∂L/∂b = Σ (2 e_i / n)
console.log('\n2. With a pencil');

const slopesOf = (w: number, b: number): { w: number; b: number } => {
  const errors = errorsOf(w, b);
  return {
    w: errors.reduce((sum, e, i) => sum + ((2 * e) / n) * x[i], 0),
    b: errors.reduce((sum, e) => sum + (2 * e) / n, 0),
  };
};
const byHand = slopesOf(w, b);
const way = (slope: number): string => (slope < 0 ? 'falls' : 'rises');
console.log(`   ∂L/∂w = ${byHand.w.toFixed(4)}: a little more w, and the loss ${way(byHand.w)}
   ∂L/∂b = ${byHand.b.toFixed(4)}: a little more b, and the loss ${way(byHand.b)}`);

// 3. By trying
//
// Without any formula: step h to both sides of w, and see how much the loss changes for each unit
// of w,
//
//     D(h) = (L(w + h) − L(w − h)) / 2h
//
// Our loss is a parabola in w, for which D(h) is exact with every h; what is wrong below is
// rounding alone. Look at how it grows as h shrinks: two losses that are nearly equal are
// subtracted, and few of their digits are left. For other functions a large h is wrong, too, since
// they bend. Between the two lies the h with which `gradcheck` works (lesson 8).
console.log('\n3. By trying');

const byTrying = (h: number): number => (lossOf(w + h, b) - lossOf(w - h, b)) / (2 * h);
for (const h of [1, 1e-3, 1e-6, 1e-9, 1e-12]) {
  const off = Math.abs(byTrying(h) - byHand.w);
  console.log(
    `   h = ${h.toExponential().padEnd(5)}  D(h) = ${byTrying(h).toFixed(6)}  off by ${+off.toPrecision(2)}`,
  );
}

// 4. With bax
//
// The same loss, of tensors. `requiresGrad` says of which numbers a gradient will be wanted; bax
// notes each step of the calculation, and `grad` walks back through them with the chain rule, as we
// did. How, is lesson 2.
console.log('\n4. With bax');

setBackend(cpu());
const options = { dtype: 'f64', requiresGrad: true } as const; // f64: as many digits as JavaScript's own numbers
const [W, B] = [tensor(w, options), tensor(b, options)];
const [X, T] = [tensor(Float64Array.from(x)), tensor(Float64Array.from(t))]; // [n] each

const loss = mean(X.mul(W).add(B).sub(T).pow(2));
const [gradW, gradB] = await Promise.all(grad(loss, [W, B]).map((g) => g.item()));
const apart = Math.max(Math.abs(gradW - byHand.w), Math.abs(gradB - byHand.b));
console.log(
  `   ∂L/∂w = ${gradW.toFixed(4)}   ∂L/∂b = ${gradB.toFixed(4)}: off the pencil's by ${+apart.toPrecision(2)}`,
);

// 5. What it is for
//
// A step against the gradient makes the loss smaller: w ← w − η ∂L/∂w, and so for b. η, the
// learning rate, says how far. Some steps of that, and the line is the one that the makers of the
// thermometer used.
console.log('\n5. What it is for');

const [eta, steps] = [0.1, 150];
let line = { w, b };
for (let step = 0; step <= steps; step++) {
  const loss = lossOf(line.w, line.b);
  if (step % 50 === 0) console.log(`   after ${step} steps: L = ${loss.toPrecision(2)} (tens of °F)²`);
  const slopes = slopesOf(line.w, line.b);
  line = { w: line.w - eta * slopes.w, b: line.b - eta * slopes.b };
}
console.log(`   °F = ${line.w.toFixed(2)} · °C + ${(10 * line.b).toFixed(1)}`);

// Try
//
// - 0.3 for η = 0.1: each step overshoots by more than it corrects, and the loss grows without end.
// - t[0] = 0, a misread thermometer: no line fits, and the loss stops above zero, where both slopes
//   are zero.
