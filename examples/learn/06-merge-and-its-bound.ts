/**
 * Lesson 6: merge, and its bound
 *
 * After training, W + s · B A takes W's place, and the model is as fast as it was. On paper nothing
 * else changes. In a computer every product and every sum is rounded, merged and unmerged round in
 * different places, and so they differ. By how much they may, can be proved. Then a larger
 * difference is a mistake, and a smaller one is none.
 *
 *     npm run learn -- 6
 */
import {
  abs, adamW, add, attachLora, cast, createGpt2, gpt2Config, key, linear, matmul, mul, observe,
  planLora, rand, randn, randomWindows, setBackend, showShape, sub, tensor, train,
  type Gpt2, type Tensor,
} from 'bax'; // prettier-ignore
import { cpu } from '@bax/cpu';

setBackend(cpu());
const shown = (v: number): string => v.toExponential(2);
const largest = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => Math.max(a, b));

// 1. One function, two ways
//
//     unmerged   W x + s · (B (A x))        merged   (W + s · (B A)) x
console.log('1. One function, two ways');

interface Layer {
  readonly W: Tensor; // [out, in]
  readonly A: Tensor; // [r, in]
  readonly B: Tensor; // [out, r]
  readonly x: Tensor; // [N, in], a row for each example
}
const [N, inputs, outputs, r, s] = [32, 64, 48, 8, 2];
const unmerged = ({ W, A, B, x }: Layer): Tensor => add(linear(x, W), mul(linear(linear(x, A), B), s));
const merged = ({ W, A, B, x }: Layer): Tensor => linear(x, add(W, mul(matmul(B, A), s)));

const layer: Layer = {
  W: randn([outputs, inputs], { key: 1 }),
  A: randn([r, inputs], { key: 2, std: 1 / r }),
  B: randn([outputs, r], { key: 3, std: 0.5 }),
  x: randn([N, inputs], { key: 4 }),
};
const [hu, hm] = [await unmerged(layer).data(), await merged(layer).data()];
const differences = Array.from(hu, (h, i) => Math.abs(h - hm[i]));
console.log(
  `   outputs that are not the same bits: ${differences.filter((d) => d > 0).length} of ${hu.length}`,
);
console.log(
  `   largest output ${largest(hu.map(Math.abs)).toFixed(1)}, largest difference ${shown(largest(differences))}`,
);

// 2. The bound
//
// f32 rounds a result by a factor between 1 − u and 1 + u, u = 2⁻²⁴, and n roundings in a row by
// γ_n = n u / (1 − n u) at most. So it remains to count them. A product-sum of n terms takes each
// through n roundings at most, whatever the order: its own product, and n − 1 sums. With k = in:
//
//                 a term of W x                a term of s · B A x
//     unmerged    k, and 1 to add the two      k (A x) + r (B ·) + 1 (s ·) + 1 to add the two
//     merged      1 to add the two, and k      r (B A) + 1 (s ·) + 1 to add the two + k (· x)
//
// None takes more than k + r + 2. Either way is thus off the exact h by γ_{k+r+2} times the sizes
// of all its terms, and the two are off each other by twice that:
//
//     |h_m − h_u| ≤ 2 γ_{k+r+2} (|W| + s |B| |A|) |x|        for each output, |·| being taken entry by entry
//
// This allows for roundings that all err to one side. They seldom do, and the cpu of bax sums in
// f64 besides, so the outputs stay far below. What the bound is for is to tell roundings from
// mistakes: look at the two below, a scale that is a little off, and B A held in half precision. No
// eye would find them in the outputs.
console.log('\n2. The bound');

const u = 2 ** -24;
const gamma = (n: number): number => (n * u) / (1 - n * u);
const sizes = ({ W, A, B, x }: Layer): Tensor => {
  const [w, a, b, z] = [W, A, B, x].map((m) => abs(cast(m, 'f64')));
  return linear(z, add(w, mul(matmul(b, a), s))); // [N, out]
};
const bounds = Array.from(await sizes(layer).data(), (size) => 2 * gamma(inputs + r + 2) * size);
const worst = differences.reduce((at, d, i) => (d / bounds[i] > differences[at] / bounds[at] ? i : at), 0);
console.log(
  `   nearest to its bound: output ${worst}, off by ${shown(differences[worst])}, allowed ${shown(bounds[worst])}`,
);

const { W, A, B, x } = layer;
const product = matmul(B, A); // [out, in]
const inF16 = tensor(await product.data(), { shape: product.shape, storage: 'f16' });
for (const [what, h] of [
  ['merged', hm],
  ['s a thousandth too small', await linear(x, add(W, mul(product, s * 0.999))).data()],
  ['B A held in f16', await linear(x, add(W, mul(inF16, s))).data()],
] as const) {
  const ratios = bounds.map((most, i) => Math.abs(h[i] - hu[i]) / most);
  const beyond = ratios.filter((ratio) => ratio > 1).length;
  console.log(
    `   ${what.padEnd(24)}  beyond: ${beyond}; at most ${largest(ratios).toFixed(3)} times what is allowed`,
  );
}

// 3. Whole numbers
//
// f32 holds every whole number up to 2²⁴, so sums and products that stay below are not rounded at
// all. Then merged and unmerged must be equal, bit for bit. That tests the calculation, as the
// bound tests the roundings; the laws of bax do both.
console.log('\n3. Whole numbers');

const whole = (shape: readonly number[], most: number, seed: number): Tensor =>
  cast(cast(rand(shape, { key: seed, low: -most - 1, high: most + 1 }), 'i32'), 'f32'); // cut towards zero
const integers: Layer = {
  W: whole([outputs, inputs], 8, 5),
  A: whole([r, inputs], 2, 6),
  B: whole([outputs, r], 2, 7),
  x: whole([N, inputs], 4, 8),
};
const [iu, im] = [await unmerged(integers).data(), await merged(integers).data()];
console.log(`   no sum exceeds ${largest(await sizes(integers).data())}, and 2²⁴ is ${2 ** 24}`);
console.log(
  `   outputs that are not the same bits: ${iu.filter((h, i) => h !== im[i]).length} of ${iu.length}`,
);

// 4. What a merge reports
//
// bax's own merge measures itself, in f64: each entry of each new weight against W + s · B A. The
// roundings are counted as above, but weights have no sum over x, so the bound is sharper: u |W + s
// B A| + (1 + u) γ_{r+1} s |B| |A|. Here a tiny GPT-2 learns for a few steps, so that B is not
// zero, and is merged. The layer that is off most we measure again by hand.
console.log('\n4. What a merge reports');

const config = { n_layer: 2, n_embd: 32, n_head: 2, n_positions: 16, vocab_size: 60 };
const base = createGpt2(gpt2Config(config), { key: key(9) });
const before = await Promise.all(base.parameters().map((p) => p.data()));
const plan = planLora(base, { targets: ['c_fc', 'mlp.c_proj'], r: 4, alpha: 8 });
const lora = await attachLora(base, plan, { key: key(10) });
const text = Int32Array.from({ length: 300 }, (_, i) => (i * i) % 60);
await train({
  batches: (step) => randomWindows(text, step, { context: 16, batch: 4 }),
  loss: ({ ids, targets }) => lora.model.loss(ids, targets),
  optimizer: adamW(lora.parameters(), { lr: 0.02 }),
  steps: 5,
});
const { model, report } = await lora.merge();
for (const { path, error, bound } of report.layers)
  console.log(`   ${path.padEnd(28)}  off by ${shown(error)}, allowed ${shown(bound)}`);

const { path } = report.worst;
const { in: ins, out: outs, r: rank, alpha } = plan.entries.find((entry) => entry.path === path)!;
const from = await base.namedParameters().get(`${path}.weight`)!.data(); // W
const to = await model.namedParameters().get(`${path}.weight`)!.data(); // what became of it
const a = await lora.parameters().get(`${path}.lora.A`)!.data();
const b = await lora.parameters().get(`${path}.lora.B`)!.data();
let byHand = { off: 0, allowed: 0 };
for (let o = 0; o < outs; o++)
  for (let i = 0; i < ins; i++) {
    const terms = Array.from({ length: rank }, (_, l) => (alpha / rank) * b[o * rank + l] * a[l * ins + i]);
    const at = i * outs + o; // GPT-2 stores W as [in, out]
    const exact = terms.reduce((sum, term) => sum + term, from[at]);
    const off = Math.abs(to[at] - exact);
    const size = terms.reduce((sum, term) => sum + Math.abs(term), 0);
    if (off > byHand.off) byHand = { off, allowed: u * Math.abs(exact) + (1 + u) * gamma(rank + 1) * size };
  }
console.log(
  `   ${'by hand, the worst of these'.padEnd(28)}  off by ${shown(byHand.off)}, allowed ${shown(byHand.allowed)}`,
);

// 5. No way back, and no need of one
//
// Some programs undo a merge by subtracting: (W + s · B A) − s · B A. With roundings that is not W.
// bax never writes into W: merging makes new weights, and the base is where it was, bit for bit.
console.log('\n5. No way back, and no need of one');

const change = mul(product, s);
const [w, again] = [await W.data(), await sub(add(W, change), change).data()];
console.log(
  `   added and subtracted: ${again.filter((v, i) => v !== w[i]).length} of ${w.length} numbers of W are others now`,
);
const after = await Promise.all(base.parameters().map((p) => p.data()));
const moved = after.flatMap((values, j) => Array.from(values).filter((v, i) => v !== before[j][i])).length;
console.log(`   merged by bax: ${moved} of ${base.parameterCount} numbers of the base are others now`);

// 6. As fast as before
//
// Clocks are noisy, lists are not. These are the ops that a forward pass asks of the device.
console.log('\n6. As fast as before');

const { ids } = randomWindows(text, 0, { context: 16, batch: 1 });
const opsOf = (m: Gpt2): string[] => {
  const ops: string[] = [];
  observe((op, _, [y]) => void ops.push(`${op} ${showShape(y.shape)}`), () => m.forward(ids)); // prettier-ignore
  return ops;
};
const [ofBase, ofMerged] = [opsOf(base), opsOf(model)];
const same = ofBase.join() === ofMerged.join() ? 'the same list' : 'another list';
console.log(
  `   base ${ofBase.length}, with B A beside it ${opsOf(lora.model).length}, merged ${ofMerged.length}: ${same}`,
);

// Try
//
// - std: 8 for B's 0.5. The largest difference grows, and the bounds with it: how near to them it
//   comes hardly changes.
// - `merge({ storage: 'f16' })`: the new weights take half the memory. The report allows for that
//   rounding as well, our hand does not, and finds itself exceeded.
