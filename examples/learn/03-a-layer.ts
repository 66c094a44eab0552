/**
 * Lesson 3: a layer
 *
 * A layer is many neurons that see the same inputs: a matrix of weights W, a row for each neuron,
 * and y = W x + b. Its gradient is a matrix of the same shape, and a peculiar one: each example
 * adds a column times a row to it. That is where LoRA comes in, so we look at it closely, train a
 * small network, and then freeze a part of it.
 *
 *     npm run learn -- 3
 */
import {
  assign, linalg, linear, matmul, mean, observe, randn, scope, setBackend, showShape, sub, tanh, tensor,
  transpose, valueAndGrad, zeros, type Tensor,
} from 'bax'; // prettier-ignore
import { cpu } from '@bax/cpu';

setBackend(cpu());

// 1. A layer is a matrix
//
// For one example x [in]: y_o = Σ_i W_oi x_i + b_o, W [out, in], b and y [out]. For many at once x
// and y have a row for each example, x [N, in] → y [N, out], and y = x Wᵀ + b, which is what
// `linear` calculates.
console.log('1. A layer is a matrix');

const [N, inputs, outputs] = [5, 4, 3];
const x = randn([N, inputs], { key: 1 });
const W = randn([outputs, inputs], { key: 2 });
const b = randn([outputs], { key: 3 });

const y = linear(x, W, b); // [N, out]
const [xs, Ws, bs, ys] = await Promise.all([x, W, b, y].map((t) => t.data())); // row after row, as numbers
let apart = 0;
for (let n = 0; n < N; n++)
  for (let o = 0; o < outputs; o++) {
    let sum = bs[o];
    for (let i = 0; i < inputs; i++) sum += Ws[o * inputs + i] * xs[n * inputs + i];
    apart = Math.max(apart, Math.abs(sum - ys[n * outputs + o]));
  }
console.log(
  `   ${N} examples of ${inputs} inputs → y ${showShape(y.shape)}, off our loops by ${+apart.toPrecision(2)}`,
);

// 2. Its gradients
//
// Let G [N, out] be the slopes ∂L/∂y, which whatever follows the layer hands back. The chain rule,
// as in lesson 1:
//
//     ∂L/∂W = Gᵀ x      [out, in]    W_oi meets input i on its way to output o, once in each example
//     ∂L/∂b = Σ_n G_n   [out]
//     ∂L/∂x = G W       [N, in]      what goes on back to the layer below
console.log('\n2. Its gradients');

const G = randn([N, outputs], { key: 4 });
const L = (): Tensor => linear(x, W, b).mul(G).sum(); // a loss with ∂L/∂y = G
const off = async (a: Tensor, b: Tensor): Promise<number> =>
  +(await sub(a, b).abs().max().item()).toPrecision(2);

const [gradW, gradB, gradX] = valueAndGrad(L, [W, b, x]).grads;
console.log('   the formulas, off the tape by');
console.log(`   ∂L/∂W ${await off(gradW, matmul(transpose(G), x))}`);
console.log(`   ∂L/∂b ${await off(gradB, G.sum(0))}`);
console.log(`   ∂L/∂x ${await off(gradX, matmul(G, W))}`);

// 3. Few examples, low rank
//
// In Gᵀ x each example n adds the product of a column and a row, G_nᵀ x_n: a matrix of out · in
// numbers that out + in numbers describe. Such a matrix has rank 1, the sum of N of them a rank of
// N at most. What a few examples ask of a large W is thus far smaller than W, before any
// cleverness. LoRA goes further: it claims that what a whole new task asks of a pretrained W has a
// low rank as well, and learns nothing else.
console.log('\n3. Few examples, low rank');

const wide = randn([32, 32], { key: 5 });
for (const examples of [1, 2, 4, 8]) {
  const some = randn([examples, 32], { key: 6 });
  const [g] = valueAndGrad(() => tanh(linear(some, wide)).pow(2).sum(), [wide]).grads;
  const rank = linalg.rankOf(linalg.matrix(32, 32, await g.data()), 1e-4); // what is smaller is rounding
  console.log(`   examples: ${examples}, numbers in ∂L/∂W: ${g.size}, its rank: ${rank}`);
}

// 4. Two layers learn
//
// "Either, but not both" is no line: one layer cannot learn it, two with a bend between them can.
// Each step is lesson 1's, W ← W − η ∂L/∂W, for all matrices at once; `assign` writes into the
// matrix, and `scope` frees what a step made on its way.
console.log('\n4. Two layers learn');

const cases = tensor([[0, 0], [0, 1], [1, 0], [1, 1]]); // prettier-ignore
const wanted = tensor([[0], [1], [1], [0]]); // [4, 1]
const net = {
  W1: randn([8, 2], { key: 7 }),
  b1: zeros([8]),
  W2: randn([1, 8], { key: 8, std: 0.5 }),
  b2: zeros([1]),
};
const answer = (): Tensor => linear(tanh(linear(cases, net.W1, net.b1)), net.W2, net.b2); // [4, 2] → [4, 8] → [4, 1]
const loss = (): Tensor => mean(sub(answer(), wanted).pow(2));

function step(params: readonly Tensor[], eta: number): void {
  scope(() => {
    const { grads } = valueAndGrad(loss, params);
    params.forEach((p, i) => assign(p, sub(p, grads[i].mul(eta))));
  });
}
const row = async (y: Tensor): Promise<string> =>
  Array.from(await y.data(), (v) => v.toFixed(2).padStart(5)).join(' ');
const report = async (when: string): Promise<void> =>
  console.log(`   ${when.padEnd(12)}  ${await row(answer())}  loss ${(await loss().item()).toFixed(4)}`);

console.log(`   wanted        ${await row(wanted)}`);
await report('at the start');
for (let i = 0; i < 400; i++) step(Object.values(net), 0.2);
await report('400 steps on');

// 5. A frozen layer
//
// To freeze a layer nothing is switched off: nobody asks for its gradient, so nobody calculates it.
// Count the products: with all of the network trained, and with the second layer alone.
console.log('\n5. A frozen layer');

const { W1, b1, W2, b2 } = net;
for (const [what, params] of [
  ['both layers', [W1, b1, W2, b2]],
  ['the second alone', [W2, b2]],
] as const) {
  const ops: string[] = [];
  observe(
    (op) => ops.push(op),
    () => valueAndGrad(loss, params),
  );
  const products = ops.filter((op) => op === 'linear' || op === 'matmul').length;
  const numbers = params.reduce((n, p) => n + p.size, 0);
  console.log(`   ${what.padEnd(16)}  ${numbers} numbers trained, ${products} products there and back`);
}

// Try
//
// - Without the bend (leave out `tanh` in `answer`): the loss stops at that of the best line, which
//   says 0.5 to everything.
// - 33 examples for 8 in section 3: the rank can no longer grow, since W has no more than 32 rows.
