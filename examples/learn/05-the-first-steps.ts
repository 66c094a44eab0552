/**
 * Lesson 5: the first steps
 *
 * LoRA begins with B at zero, and something odd follows: in the first step only B can learn. The
 * gradient of A is zero, not nearly but exactly, and a step later it is not. Here are the first
 * three steps, by formula and by tape.
 *
 *     npm run learn -- 5
 */
import {
  add, assign, attachLora, createGpt2, gpt2Config, key, linalg, linear, matmul, mul, planLora, randn,
  randomWindows, setBackend, sub, tensor, transpose, valueAndGrad, zeros, type Tensor,
} from 'bax'; // prettier-ignore
import { cpu } from '@bax/cpu';

setBackend(cpu());
const [N, inputs, outputs, r, alpha] = [10, 8, 6, 2, 4];
const s = alpha / r;
const f64 = { dtype: 'f64' } as const;

const x = randn([N, inputs], { key: 1, ...f64 }); // a row for each example
const t = randn([N, outputs], { key: 2, ...f64 });
const W = randn([outputs, inputs], { key: 3, std: 0.3, ...f64 });
const A = randn([r, inputs], { key: 4, std: 1 / r, ...f64 });
const B = zeros([outputs, r], f64);

const lora = (): Tensor => add(linear(x, W), mul(linear(linear(x, A), B), s)); // h = W x + s · B A x, [N, out]
const loss = (): Tensor => mul(sub(lora(), t).pow(2).sum(), 0.5 / N); // ½ ‖h − t‖², the mean over the examples

// 1. Three steps
//
// For one example let G = ∂L/∂h, a column of length out: how the loss changes with each output. The
// chain rule goes through h = W x + s · B (A x) as through any product: each factor gets G times
// what it was multiplied by,
//
//     ∂L/∂B = s · G (A x)ᵀ        [out, r]
//     ∂L/∂A = s · Bᵀ G xᵀ         [r, in]
//
// summed over the examples. Each holds the other factor. Where B is zero, so is the gradient of A:
// what A x is cannot matter if B multiplies it by zero. The gradient of B asks only that A x is not
// zero, and A is random.
//
// Three steps by the tape, with the formulas beside it. Look down the columns of ∂L/∂A: nothing at
// step 0, then it grows.
console.log('1. Three steps of gradient descent');

function byFormula(): { A: Tensor; B: Tensor } {
  const G = mul(sub(lora(), t), 1 / N); // [N, out], a row for each example: so the formulas stand transposed
  const gradA = mul(matmul(transpose(matmul(G, B)), x), s); // s (G B)ᵀ x
  const gradB = mul(matmul(transpose(G), linear(x, A)), s); // s Gᵀ (x Aᵀ)
  return { A: gradA, B: gradB };
}
const norm = async (m: Tensor): Promise<number> => Math.sqrt(await m.pow(2).sum().item()); // ‖m‖
const largest = async (m: Tensor): Promise<number> => m.abs().max().item();
const notZero = async (m: Tensor): Promise<number> => (await m.data()).filter((v) => v !== 0).length;

const D = valueAndGrad(loss, [W]).grads[0]; // what full fine-tuning would see, for section 2
const A0 = await A.data();
const eta = 0.05;
const table = [['step', 'loss', '‖B‖', '‖∂L/∂B‖', '‖∂L/∂A‖', 'not zero in ∂L/∂A', 'formulas off by']];
let afterOne: Tensor | undefined;
for (let step = 0; step < 3; step++) {
  const { value, grads } = valueAndGrad(loss, [A, B]);
  const [formula, [gradA, gradB]] = [byFormula(), grads];
  const off = Math.max(await largest(sub(gradA, formula.A)), await largest(sub(gradB, formula.B)));
  const sizes = [await value.item(), await norm(B), await norm(gradB), await norm(gradA)];
  const moving = `${await notZero(gradA)} of ${gradA.size}`;
  table.push([`${step}`, ...sizes.map((v) => v.toFixed(4)), moving, `${+off.toPrecision(2)}`]);
  [A, B].forEach((p, i) => assign(p, sub(p, mul(grads[i], eta))));
  afterOne ??= mul(matmul(B, A), s); // ΔW = s · B A
}
const width = table[0].map((_, i) => Math.max(...table.map((row) => row[i].length)));
for (const row of table) {
  const cells = row.map((cell, i) => cell.padEnd(width[i]));
  console.log(`   ${cells.join('  ').trimEnd()}`);
}

// 2. What the first step is
//
// Full fine-tuning would change W by −η D, where D = ∂L/∂W. LoRA's first step moves B alone, to −η
// s D Aᵀ, and with it
//
//     ΔW = s · B A = −η s² · D AᵀA
//
// So it is full fine-tuning's own step, seen through AᵀA: the r directions of the input that A
// looks at, and no others.
console.log("\n2. The first step is full fine-tuning's, through the r directions of A");

const a0 = tensor(A0, { shape: A.shape });
const projected = mul(matmul(D, matmul(transpose(a0), a0)), -eta * s * s); // [out, in] [in, r] [r, in]
const rank = async (m: Tensor): Promise<number> =>
  linalg.rankOf(linalg.matrix(outputs, inputs, await m.data()));
const apart = await largest(sub(projected, afterOne!));
console.log(`   −η s² · D AᵀA and s · B A after one step are ${+apart.toPrecision(2)} apart`);
console.log(`   rank of D: ${await rank(D)}, of ΔW: ${await rank(afterOne!)}, r: ${r}`);

// 3. Both at zero
//
// If A began at zero as well, each gradient would be zero since the other factor is, and so it
// would stay for ever.
console.log('\n3. Were A zero, too');

for (const p of [A, B]) assign(p, zeros(p.shape, f64));
for (let step = 0; step < 3; step++) {
  const { grads } = valueAndGrad(loss, [A, B]);
  [A, B].forEach((p, i) => assign(p, sub(p, mul(grads[i], eta))));
}
console.log(`   after 3 steps ${(await notZero(A)) + (await notZero(B))} numbers of A and B have moved`);

// 4. In a whole Transformer
//
// Nothing above asked what follows the layer: G is whatever it is. So the same holds for each layer
// of a model, all at once.
console.log('\n4. In a whole Transformer');

const sizes = { n_layer: 2, n_embd: 16, n_head: 2, n_positions: 16, vocab_size: 50 };
const model = createGpt2(gpt2Config(sizes), { key: key(5) });
const adapted = await attachLora(model, planLora(model, { targets: ['q', 'v'], r: 2 }), { key: key(6) });
const text = Int32Array.from({ length: 200 }, (_, i) => (i * i) % 50);
const { ids, targets } = randomWindows(text, 0, { context: 16, batch: 4 });
const [names, params] = [[...adapted.parameters().keys()], [...adapted.parameters().values()]];
const gradients = valueAndGrad(() => adapted.model.loss(ids, targets), params).grads;
for (const [i, g] of gradients.entries())
  console.log(`   ${names[i].replace('transformer.', '∂L/∂ ')}: ${await notZero(g)} of ${g.size} not zero`);

// Try
//
// - A = zeros([r, inputs], f64) and B = randn([outputs, r], { key: 7, std: 0.1, ...f64 }): now B
//   waits for A, by the same formulas.
// - `init: 'orthogonal'` in planLora: A and B both begin random, in such a way that B A is zero
//   nevertheless. Who waits now?
