/** Small wrong changes, each of which some test must notice: what a law is worth is what it kills. */

export interface Mutant {
  /** What is wrong, in words. */
  readonly name: string;
  readonly file: string;
  /** Stands in the file once. */
  readonly find: string;
  readonly put: string;
  /** The test files that are asked, relative to test. */
  readonly tests: readonly string[];
}

const of = (
  file: string,
  tests: readonly string[],
  changes: readonly (readonly [name: string, find: string, put: string])[],
): Mutant[] => changes.map(([name, find, put]) => ({ name, file, find, put, tests }));

const LAWS = 'laws/lora/laws.test.ts';
const GOLDEN = 'nn/files/peft-golden.test.ts';

export const mutants: readonly Mutant[] = [
  ...of('packages/core/src/ops/lora-linear.ts', [LAWS, 'laws/ops/gradients.test.ts'], [
    ['drop the scale in the forward pass', 'add(part, mul(linear(linear(z, A), B), scale))', 'add(part, linear(linear(z, A), B))'],
    ['drop the scale of ∂A and ∂z', 'mul(linear(part, transpose(branchOf(x, i)[2])), scale)', 'linear(part, transpose(branchOf(x, i)[2]))'],
    ['drop the scale of ∂B', 'return mul(matmul(transpose(rows(g)), rows(linear(z, A))), c.attrs.places[i]!.scale);', 'return matmul(transpose(rows(g)), rows(linear(z, A)));'],
    ['∂B from z without A’s mask: from x', 'rows(linear(z, A))), c.attrs', 'rows(linear(x, A))), c.attrs'],
    ['∂x misses W: gB Aᵀ is all', 'if (c.index === 0) return linear(c.g, transpose(weight));', 'if (c.index === 0) return mul(linear(c.g, transpose(weight)), 0);'],
  ]),
  ...of('packages/nn/src/lora/config.ts', [LAWS, 'laws/lora/scale.test.ts', GOLDEN], [
    ['α for α/r', 'alpha / (rslora ? Math.sqrt(r) : r)', 'alpha / (rslora ? Math.sqrt(r) : 1)'],
    ['α/r for rsLoRA’s α/√r', 'alpha / (rslora ? Math.sqrt(r) : r)', 'alpha / r'],
  ]),
  ...of('packages/nn/src/lora/changed-rows.ts', [LAWS, 'laws/lora/merge.test.ts', GOLDEN], [
    ['merge without the scale', 'return mul(matmul(rows, A), scale);', 'return matmul(rows, A);'],
    ['merge twice', 'deltas.reduce((a, b) => add(a, b)),', 'mul(deltas.reduce((a, b) => add(a, b)), 2),'],
    ['merge the delta alone, without W', 'slice(layer.matrix, 0, start, end),', 'mul(slice(layer.matrix, 0, start, end), 0),'],
  ]),
  ...of('packages/nn/src/lora/adapted.ts', [LAWS, 'laws/lora/base.test.ts', 'laws/lora/merge.test.ts', GOLDEN], [
    ['disabled adapters act', 'const active = enabled ? this.active() : [];', 'const active = this.active();'],
    ['every adapter of a layer acts, active or not', 'return weight === undefined ? [] : [{ branch, weight }];', 'return [{ branch, weight: weight ?? 1 }];'],
    ['the weight of an active adapter is ignored', 'return weight === undefined ? [] : [{ branch, weight }];', 'return weight === undefined ? [] : [{ branch, weight: 1 }];'],
    ['DoRA’s factor is left out of the merge', 'return one!.branch.magnitude ? mul(rows, reshape(this.factor(one!), [end - start, 1])) : rows;', 'return rows;'],
  ]),
  ...of('packages/nn/src/lora/mixed-batch.ts', [GOLDEN], [
    ['rows come back in the order of their adapters', 'order.map((_, row) => order.indexOf(row))', 'order.map((_, row) => row)'],
  ]),
  ...of('packages/nn/src/lora/branch.ts', ['laws/lora/dropout.test.ts', GOLDEN], [
    ['no dropout on the adapter’s input', 'z: dropped(x, this.dropout, this, context)', 'z: x'],
    ['what was taken out of W is added, not subtracted', '{ z: x, A: A0, B: B0, start, scale: -scale }', '{ z: x, A: A0, B: B0, start, scale }'],
  ]),
  ...of('packages/nn/src/lora/init.ts', [LAWS, 'laws/lora/init.test.ts', GOLDEN], [
    ['B begins random', "B: keep(zeros([out, r], options)) };\n    }\n    case 'gaussian'", "B: keep(randn([out, r], options)) };\n    }\n    case 'gaussian'"],
    ['A begins with σ = 1/√r for 1/r', 'std: 1 / r', 'std: 1 / Math.sqrt(r)'],
    ['one random stream for all targets', 'const key = foldIn(root, entry.path);', "const key = foldIn(root, 'A');"],
    ['PiSSA without the /s', 'Math.sqrt(S[j]! / s)', 'Math.sqrt(S[j]!)'],
  ]),
  ...of('packages/nn/src/lora/dora.ts', [GOLDEN, 'laws/lora/dora.test.ts'], [
    ['DoRA’s norm has a gradient', 'noGrad(() => {', '(<T>(f: () => T): T => f())(() => {'],
    ['DoRA’s norm over columns', 'sqrt(sum(mul(matrix, matrix), -1))', 'sqrt(sum(mul(matrix, matrix), 0))'],
  ]),
  ...of('packages/nn/src/lora/lora-plus.ts', [GOLDEN], [
    ['LoRA+’s ratio on A', "else if (factor === 'B' || t.rank === 1) fast.set(name, t);", "else if (factor === 'A' || t.rank === 1) fast.set(name, t);"],
  ]),
  ...of('packages/nn/src/files/peft-names.ts', [GOLDEN, 'nn/files/peft-load.test.ts'], [
    ['A and B change places in files', "lora_${part}.weight`}`;", "lora_${part === 'A' ? 'B' : 'A'}.weight`}`;"],
  ]),
  ...of('packages/nn/src/layers/conv1d.ts', [LAWS, 'laws/lora/layout.test.ts', 'nn/models/gpt2.test.ts'], [
    ['a merged Conv1D is stored untransposed', 'new Conv1D(contiguous(transpose(matrix)), this.bias)', 'new Conv1D(contiguous(matrix), this.bias)'],
  ]),
  ...of('packages/core/src/grad.ts', ['core/grad.test.ts', 'laws/ops/gradients.test.ts'], [
    ['forget unbroadcast', 'reshape(axes.length > 0 ? sum(g, axes) : g, x.shape)', 'g'],
    ['a second gradient replaces the first', 'const whole = sofar ? add(sofar, g) : g;', 'const whole = g;'],
    ['free an activation before its last use', 'if (y !== loss && !y.kept && !wanted.has(y)) y.dispose(CONSUMED);', 'if (y !== loss && !y.kept && !wanted.has(y)) record.inputs[0]!.dispose(CONSUMED);'],
  ]),
  ...of('packages/core/src/ops/reduce.ts', ['core/ops/reduce.test.ts', 'laws/ops/gradients.test.ts'], [
    ['sum for mean', 'div(sum(x!, axes, { keepDims: true }), countOf(x!, axes))', 'sum(x!, axes, { keepDims: true })'],
  ]),
  ...of('packages/core/src/view.ts', ['core/view.test.ts', 'laws/ops/views.test.ts'], [
    ['transpose a stride but not the shape', 'strides: axes.map((a) => v.strides[a]!),', 'strides: v.strides,'],
    ['a slice begins one element off', 'offset: v.offset + (length > 0 ? start * v.strides[axis]! : 0),', 'offset: v.offset + (length > 0 ? start : 0),'],
  ]),
  ...of('packages/core/src/ops/attention.ts', ['core/ops/attention.test.ts', 'laws/ops/compositions.test.ts'], [
    ['ignore the mask’s diagonal', 'y = where(le(sub(column, tk - tq), row), y, value);', 'y = where(le(sub(column, tk - tq - 1), row), y, value);'],
    ['causal is aligned at the top left', 'y = where(le(sub(column, tk - tq), row), y, value);', 'y = where(le(column, row), y, value);'],
    ['∂k misses the scale', 'sum(mul(dp, p), -1, { keepDims: true }))), attrs.scale);', 'sum(mul(dp, p), -1, { keepDims: true }))), 1);'],
  ]),
  ...of('packages/core/src/ops/dropout.ts', ['core/ops/dropout.test.ts', 'laws/lora/dropout.test.ts'], [
    ['the backward pass draws another mask', 'apply(dropoutOp, [g], attrs),', 'apply(dropoutOp, [g], { ...attrs, key: Uint32Array.of(1, 2) }),'],
    ['dropout without 1/(1 − p)', 'mul(x, 1 / (1 - p))', 'x'],
  ]),
  ...of('packages/nn/src/lora/lora-model.ts', ['laws/lora/base.test.ts', GOLDEN], [
    ['let ∂W through', 'const own = transform(module, {}); // a copy: its path will be another', 'const own = transform(module, {});\n  own.weight.requiresGrad = true;'],
    ['an adapter’s whole parameters stay when it is disabled', 'const whole = this.enabled\n', 'const whole = this.active.size > 0\n'],
  ]),
  ...of('packages/core/src/memory.ts', ['core/scope.test.ts', 'core/grad.test.ts', 'wasm/memory.test.ts'], [
    ['reuse a buffer that a view still holds', 'if (--memory.holders > 0) return;', 'memory.holders--;'],
  ]),
  ...of('packages/nn/src/optim/adamw.ts', ['nn/optim/adamw.test.ts'], [
    ['AdamW without the bias correction of m', 'lr / (1 - beta1 ** t)', 'lr'],
    ['ε inside of the root', 'e.add(e.div(e.sqrt(square), root2), eps)', 'e.div(e.sqrt(e.add(square, eps)), root2)'],
    ['decay enters the moments', '1 - lr * weightDecay,', '1 - weightDecay,'],
  ]),
  ...of('packages/nn/src/optim/clip.ts', ['nn/optim/clip.test.ts'], [
    ['clip each tensor by itself', 'mul(g!, factor)', 'mul(g!, where(le(gradNorm([g!]), maxNorm), 1, div(maxNorm, gradNorm([g!]))))'],
  ]),
  ...of('packages/nn/src/train/step.ts', ['nn/train/train.test.ts'], [
    ['micro-batches count alike, not by their tokens', 'weight: counts[micro]! / tokens,', 'weight: 1 / all.length,'],
    ['the same random key at every step', 'const stepKey = foldIn(root, step);', 'const stepKey = foldIn(root, 0);'],
  ]),
  ...of('kernels/matmul-tiled.wgsl', ['backend/parts.test.ts', 'backend/conformance.test.ts', 'webgpu/kernels.test.ts'], [
    ['skip the barrier before a tile is read', '    workgroupBarrier();\n    for (var k = 0u; k < DEPTH; k++) {', '    for (var k = 0u; k < DEPTH; k++) {'],
    ['swap two strides of b', 'loadB(baseB + i32(k0 + kb) * p.bRow + i32(j) * p.bColumn)', 'loadB(baseB + i32(k0 + kb) * p.bColumn + i32(j) * p.bRow)'],
    ['a tile’s edge is one too short', 'if (i < p.m && j < p.n) {', 'if (i < p.m && j + 1 < p.n) {'],
  ]),
  ...of('kernels/scatter-add.wgsl', ['backend/conformance.test.ts', 'webgpu/calls/gather.test.ts'], [
    ['repeated rows overwrite each other', '    sum += rows[at];', '    sum = rows[at];'],
  ]),
  ...of('kernels/attention.wgsl', ['webgpu/calls/attention.test.ts'], [
    ['ignore the diagonal on the GPU', 'keys > vec4u(query + behind)', 'keys >= vec4u(query + behind)'],
  ]),
]; // prettier-ignore
