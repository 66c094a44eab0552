/**
 * Lesson 4: LoRA in 50 lines
 *
 * A layer was trained for one task and is needed for another. To train all of W anew costs as much
 * memory as the first time, and leaves a second W to store. LoRA (Hu et al., 2021) leaves W alone
 * and learns a change beside it, written as a product of two thin matrices:
 *
 *     h = W x + (α/r) · B A x        W [out, in] frozen, A [r, in], B [out, r], r small
 *
 * Here is all of it, from tensors and gradients alone, without the nn package: some 50 lines, not
 * counting these comments.
 *
 *     npm run learn -- 4
 */
import {
  add, assign, linear, matmul, mean, mul, randn, scope, setBackend, showShape, sub, valueAndGrad, zeros,
  type Tensor,
} from '@bax/core'; // prettier-ignore
import { cpu } from '@bax/cpu';

setBackend(cpu());
const [N, inputs, outputs, r, alpha] = [64, 32, 24, 2, 4];
const s = alpha / r; // the scale; α stays when another r is tried

// 1. The layer as its first task left it. Nothing below asks for its gradient, and that is all that
// "frozen" means.
const W = randn([outputs, inputs], { key: 1, std: 0.2 });
const before = await W.data(); // a copy

// 2. The second task: examples x with answers t. Whoever set it changed W by a matrix of rank 2;
// whoever trains does not know that.
const change = matmul(randn([outputs, 2], { key: 2, std: 0.3 }), randn([2, inputs], { key: 3, std: 0.3 }));
const examples = (key: number): { x: Tensor; t: Tensor } => {
  const x = randn([N, inputs], { key });
  return { x, t: linear(x, add(W, change)) }; // [N, in] and [N, out]
};
const [seen, unseen] = [examples(4), examples(5)];

// 3. A begins random and B at zero: so B A is zero, and training begins with the layer as it was.
// (Were both zero, nothing would ever be learned; lesson 5 says why.)
const A = randn([r, inputs], { key: 6, std: 1 / Math.sqrt(inputs) });
const B = zeros([outputs, r]);
console.log(`trained: ${A.size + B.size} numbers, A ${showShape(A.shape)} and B ${showShape(B.shape)}`);
console.log(`frozen: ${W.size}, W ${showShape(W.shape)}`);

// 4. The forward pass, for rows x: A x first, which is r numbers for each example, then B. The
// large matrix B A is never made.
const lora = (x: Tensor): Tensor => add(linear(x, W), mul(linear(linear(x, A), B), s));
const loss = ({ x, t }: { x: Tensor; t: Tensor }): Tensor => mean(sub(lora(x), t).pow(2));

// 5. Training: p ← p − η ∂L/∂p, as in lesson 3, for A and B and nothing else.
const eta = 0.5;
for (let step = 0; step <= 300; step++) {
  if (step % 100 === 0) {
    const [here, there] = [await loss(seen).item(), await loss(unseen).item()].map((v) => v.toExponential(1));
    console.log(`step ${step}: loss ${here}, on examples never seen ${there}`);
  }
  scope(() => {
    const { grads } = valueAndGrad(() => loss(seen), [A, B]);
    [A, B].forEach((p, i) => assign(p, sub(p, mul(grads[i], eta))));
  });
}

// 6. W is what it was, to the bit. What was learned lies in A and B alone, and can be taken off
// again.
const after = await W.data();
console.log(`of W's ${W.size} numbers ${after.filter((w, i) => w !== before[i]).length} changed`);

// 7. To use what was learned at no cost, add it into a copy of W. This is merging: the layer is a
// plain one again, as fast as it ever was. Merged and unmerged are the same function, but for the
// order in which numbers are rounded. How large a difference that allows is lesson 6.
const merged = add(W, mul(matmul(B, A), s)); // W + (α/r) B A
const [y, z] = [lora(unseen.x), linear(unseen.x, merged)];
const [apart, size] = [await sub(y, z).abs().max().item(), await y.abs().max().item()];
console.log(`merged: outputs of up to ${size.toFixed(2)} differ by ${apart.toExponential(1)} at most`);

// Try
//
// - r = 1: one direction of the change is learned, the other cannot be, and the loss stops there. r
//   = 8 gets no further than 2.
// - `mul(matmul(B, A), 1)` in the merge: forgetting α/r there is a mistake that real programs have
//   made. Merged is now something else.
