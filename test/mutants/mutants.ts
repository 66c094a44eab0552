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
const law = (name: string): string => `laws/lora/${name}.test.ts`;
const GOLDEN = 'nn/files/peft-golden.test.ts';

export const mutants: readonly Mutant[] = [
  ...of('packages/core/src/ops/lora-linear.ts', [LAWS], [
    ['drop the scale in the forward pass', 'add(part, mul(linear(linear(z, A), B), scale))', 'add(part, linear(linear(z, A), B))'],
    ['drop the scale of ∂B', 'return mul(matmul(transpose(rows(g)), rows(linear(z, A))), c.attrs.places[i]!.scale);', 'return matmul(transpose(rows(g)), rows(linear(z, A)));'],
  ]),
  ...of('packages/core/src/ops/lora-linear.ts', [law('gradients'), law('init')], [
    ['drop the scale of ∂A and ∂z', 'mul(linear(part, transpose(branchOf(x, i)[2])), scale)', 'linear(part, transpose(branchOf(x, i)[2]))'],
  ]),
  ...of('packages/core/src/ops/lora-linear.ts', [law('dropout')], [
    ['∂B from z without A’s mask: from x', 'rows(linear(z, A))), c.attrs', 'rows(linear(x, A))), c.attrs'],
  ]),
  ...of('packages/core/src/ops/lora-linear.ts', [law('several')], [
    ['∂x misses W: gB Aᵀ is all', 'if (c.index === 0) return linear(c.g, transpose(weight));', 'if (c.index === 0) return mul(linear(c.g, transpose(weight)), 0);'],
  ]),
  ...of('packages/nn/src/lora/config.ts', [law('scale')], [
    ['α for α/r', 'alpha / (rslora ? Math.sqrt(r) : r)', 'alpha / (rslora ? Math.sqrt(r) : 1)'],
  ]),
  ...of('packages/nn/src/lora/config.ts', [law('scale'), law('variants')], [
    ['α/r for rsLoRA’s α/√r', 'alpha / (rslora ? Math.sqrt(r) : r)', 'alpha / r'],
  ]),
  ...of('packages/nn/src/lora/changed-rows.ts', [LAWS], [
    ['merge without the scale', 'return mul(matmul(rows, A), scale);', 'return matmul(rows, A);'],
  ]),
  ...of('packages/nn/src/lora/changed-rows.ts', [law('merge')], [
    ['merge twice', 'deltas.reduce((a, b) => add(a, b)),', 'mul(deltas.reduce((a, b) => add(a, b)), 2),'],
    ['merge the delta alone, without W', 'slice(layer.matrix, 0, start, end),', 'mul(slice(layer.matrix, 0, start, end), 0),'],
  ]),
  ...of('packages/nn/src/lora/adapted.ts', [law('switch')], [
    ['disabled adapters act', 'const active = enabled ? this.active() : [];', 'const active = this.active();'],
  ]),
  ...of('packages/nn/src/lora/adapted.ts', [law('several')], [
    ['every adapter of a layer acts, active or not', 'return weight === undefined ? [] : [{ branch, weight }];', 'return [{ branch, weight: weight ?? 1 }];'],
    ['the weight of an active adapter is ignored', 'return weight === undefined ? [] : [{ branch, weight }];', 'return weight === undefined ? [] : [{ branch, weight: 1 }];'],
  ]),
  ...of('packages/nn/src/lora/adapted.ts', [law('dora')], [
    ['DoRA’s factor is left out of the merge', 'return one!.branch.magnitude ? mul(rows, reshape(this.factor(one!), [end - start, 1])) : rows;', 'return rows;'],
  ]),
  ...of('packages/nn/src/lora/mixed-batch.ts', [law('mixed-batch')], [
    ['rows come back in the order of their adapters', 'order.map((_, row) => order.indexOf(row))', 'order.map((_, row) => row)'],
  ]),
  ...of('packages/nn/src/lora/branch.ts', [law('dropout')], [
    ['no dropout on the adapter’s input', 'z: dropped(x, this.dropout, this, context)', 'z: x'],
  ]),
  ...of('packages/nn/src/lora/branch.ts', [law('taken')], [
    ['what was taken out of W is added, not subtracted', '{ z: x, A: A0, B: B0, start, scale: -scale }', '{ z: x, A: A0, B: B0, start, scale }'],
  ]),
  ...of('packages/nn/src/lora/init.ts', [law('dora')], [
    ['B begins random', "B: keep(zeros([out, r], options)) };\n    }\n    case 'gaussian'", "B: keep(randn([out, r], options)) };\n    }\n    case 'gaussian'"],
  ]),
  ...of('packages/nn/src/lora/init.ts', [law('init')], [
    ['A begins with σ = 1/√r for 1/r', 'std: 1 / r', 'std: 1 / Math.sqrt(r)'],
    ['one random stream for all targets', 'const key = foldIn(root, entry.path);', "const key = foldIn(root, 'A');"],
  ]),
  ...of('packages/nn/src/lora/init.ts', [law('starts')], [
    ['PiSSA without the /s', 'Math.sqrt(S[j]! / s)', 'Math.sqrt(S[j]!)'],
  ]),
  ...of('packages/nn/src/lora/dora.ts', [law('dora')], [
    ['DoRA’s norm has a gradient', 'noGrad(() => {', '(<T>(f: () => T): T => f())(() => {'],
    ['DoRA’s norm over columns', 'sqrt(sum(mul(matrix, matrix), -1))', 'sqrt(sum(mul(matrix, matrix), 0))'],
  ]),
  ...of('packages/nn/src/lora/lora-plus.ts', [law('lora-plus')], [
    ['LoRA+’s ratio on A', "else if (factor === 'B' || t.rank === 1) fast.set(name, t);", "else if (factor === 'A' || t.rank === 1) fast.set(name, t);"],
  ]),
  ...of('packages/nn/src/files/peft-names.ts', [GOLDEN], [
    ['A and B change places in files', "lora_${part}.weight`}`;", "lora_${part === 'A' ? 'B' : 'A'}.weight`}`;"],
  ]),
  ...of('packages/nn/src/layers/conv1d.ts', [law('layout')], [
    ['a merged Conv1D is stored untransposed', 'new Conv1D(contiguous(transpose(matrix)), this.bias)', 'new Conv1D(contiguous(matrix), this.bias)'],
  ]),
  ...of('packages/core/src/grad.ts', ['core/grad.test.ts'], [
    ['forget unbroadcast', 'reshape(axes.length > 0 ? sum(g, axes) : g, x.shape)', 'g'],
    ['a second gradient replaces the first', 'const whole = sofar ? add(sofar, g) : g;', 'const whole = g;'],
    ['free an activation before its last use', 'if (y !== loss && !y.kept && !wanted.has(y)) y.dispose(CONSUMED);', 'if (y !== loss && !y.kept && !wanted.has(y)) record.inputs[0]!.dispose(CONSUMED);'],
  ]),
  ...of('packages/core/src/ops/reduce.ts', ['core/ops/reduce.test.ts'], [
    ['sum for mean', 'div(sum(x!, axes, { keepDims: true }), countOf(x!, axes))', 'sum(x!, axes, { keepDims: true })'],
  ]),
  ...of('packages/core/src/view.ts', ['laws/ops/views.test.ts'], [
    ['transpose a stride but not the shape', 'strides: axes.map((a) => v.strides[a]!),', 'strides: v.strides,'],
    ['a slice begins one element off', 'offset: v.offset + (length > 0 ? start * v.strides[axis]! : 0),', 'offset: v.offset + (length > 0 ? start : 0),'],
  ]),
  ...of('packages/core/src/ops/attention.ts', ['core/ops/attention.test.ts'], [
    ['ignore the mask’s diagonal', 'y = where(le(sub(column, tk - tq), row), y, value);', 'y = where(le(sub(column, tk - tq - 1), row), y, value);'],
    ['causal is aligned at the top left', 'y = where(le(sub(column, tk - tq), row), y, value);', 'y = where(le(column, row), y, value);'],
  ]),
  ...of('packages/core/src/ops/attention.ts', ['laws/ops/compositions.test.ts'], [
    ['∂k misses the scale', 'sum(mul(dp, p), -1, { keepDims: true }))), attrs.scale);', 'sum(mul(dp, p), -1, { keepDims: true }))), 1);'],
  ]),
  ...of('packages/core/src/ops/dropout.ts', ['core/ops/dropout.test.ts'], [
    ['the backward pass draws another mask', 'apply(dropoutOp, [g], attrs),', 'apply(dropoutOp, [g], { ...attrs, key: Uint32Array.of(1, 2) }),'],
  ]),
  ...of('packages/core/src/ops/dropout.ts', [law('dropout')], [
    ['dropout without 1/(1 − p)', 'mul(x, 1 / (1 - p))', 'x'],
  ]),
  ...of('packages/nn/src/lora/lora-model.ts', [law('base')], [
    ['let ∂W through', 'const own = transform(module, {}); // a copy: its path will be another', 'const own = transform(module, {});\n  own.weight.requiresGrad = true;'],
  ]),
  ...of('packages/nn/src/lora/lora-model.ts', [law('switch')], [
    ['an adapter’s whole parameters stay when it is disabled', 'const whole = this.enabled\n', 'const whole = this.active.size > 0\n'],
  ]),
  ...of('packages/core/src/memory.ts', ['core/scope.test.ts', 'core/grad.test.ts'], [
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
  ...of('kernels/matmul-tiled.wgsl', ['backend/conformance.test.ts'], [
    ['skip the barrier before a tile is read', '    workgroupBarrier();\n    for (var k = 0u; k < DEPTH; k++) {', '    for (var k = 0u; k < DEPTH; k++) {'],
    ['swap two strides of b', 'loadB(baseB + i32(k0 + kb) * p.bRow + i32(j) * p.bColumn)', 'loadB(baseB + i32(k0 + kb) * p.bColumn + i32(j) * p.bRow)'],
  ]),
  ...of('kernels/matmul-tiled.wgsl', ['backend/storage.test.ts'], [
    ['a tile’s edge is one too short', 'if (i < p.m && j < p.n) {', 'if (i < p.m && j + 1 < p.n) {'],
  ]),
  ...of('kernels/scatter-add.wgsl', ['webgpu/calls/gather.test.ts', 'laws/ops/backends.test.ts'], [
    ['repeated rows overwrite each other', '    sum += rows[at];', '    sum = rows[at];'],
  ]),
  ...of('kernels/attention.wgsl', ['webgpu/calls/attention.test.ts'], [
    ['ignore the diagonal on the GPU', 'keys > vec4u(query + behind)', 'keys >= vec4u(query + behind)'],
  ]),
  ...of('packages/core/src/ops/lora-linear.ts', [law('gauge')], [
    ['only the first of the r ranks acts', 'add(part, mul(linear(linear(z, A), B), scale))', 'add(part, mul(linear(linear(z, slice(A, 0, 0, 1)), slice(B, 1, 0, 1)), scale))'],
  ]),
  ...of('packages/core/src/ops/lora-linear.ts', [law('init'), law('balance')], [
    ['∂A is twice what it is', 'return matmul(transpose(rows(gB)), rows(z));', 'return mul(matmul(transpose(rows(gB)), rows(z)), 2);'],
  ]),
  ...of('packages/core/src/ops/lora-linear.ts', [law('first-step')], [
    ['∂B with s twice', 'c.attrs.places[i]!.scale); // ∂B', 'c.attrs.places[i]!.scale ** 2); // ∂B'],
  ]),
  ...of('packages/nn/src/lora/algebra.ts', [law('algebra')], [
    ['a sum of adapters ignores the weights', 'branch.products(weight).map((p) => ({', 'branch.products(1).map((p) => ({'],
    ['a sum of adapters is its first term', 'const products = all.flatMap(', 'const products = all.slice(0, 1).flatMap('],
    ['the sum is (Σ B)(Σ A)', 'A: keep(concat(products.map((p) => p.A), 0)),\n        B: keep(concat(products.map((p) => p.B), 1)),', 'A: keep(products.map((p) => p.A).reduce((a, b) => a.add(b))),\n        B: keep(products.map((p) => p.B).reduce((a, b) => a.add(b))),'],
    ['compressing gives A and B the whole of σ each', 'const root = (i: number): number => Math.sqrt(S[i]!);', 'const root = (i: number): number => S[i]!;'],
    ['compressing says what is kept, not what is lost', 'const [lost, all] = [S.subarray(rank), S]', 'const [lost, all] = [S.subarray(0, rank), S]'],
  ]),
  ...of('packages/nn/src/lora/changed-rows.ts', [law('rank')], [
    ['merge adds s to B A', 'return mul(matmul(rows, A), scale);', 'return add(matmul(rows, A), scale);'],
    ['merge with the first of the r ranks', 'return mul(matmul(rows, A), scale);', 'return mul(matmul(slice(rows, 1, 0, 1), slice(A, 0, 0, 1)), scale);'],
  ]),
  ...of('packages/nn/src/lora/merge.ts', [law('transformer')], [
    ['merge passes over c_fc', 'const one = await narrow(path, mergedLayer(layer), storage);', "const one = await narrow(path, path.endsWith('c_fc') ? (layer.base as Adaptable).withMatrix(layer.base.matrix.mul(1)) : mergedLayer(layer), storage);"],
  ]),
  ...of('packages/nn/src/lora/merge.ts', [law('merge')], [
    ['a tied head is merged without a word', 'if (untied.length > 0 && !untie)', 'if (untied.length > 3 && !untie)'],
  ]),
  ...of('packages/nn/src/lora/adapter.ts', [law('switch')], [
    ['a merged model shares what its adapter goes on training', 'new Map([...this.full].map(([path, t]) => [path, own(t)]))', 'this.full'],
  ]),
  ...of('packages/nn/src/lora/merge-report.ts', [law('merge')], [
    ['the bound forgets that f32 rounds s', '(Math.fround(s) === s ? 1 : 2)', '1'],
    ['the report’s weights are those without s', 'exact[j]! += s * sum;', 'exact[j]! += sum;'],
  ]),
  ...of('packages/nn/src/lora/merge-report.ts', [law('several')], [
    ['the bound forgets the further products', '+ terms.length - 1;', ';'],
  ]),
  ...of('packages/nn/src/lora/merge-report.ts', [law('merge-report')], [
    ['DoRA’s bound forgets that the norm is off', 'const beta = norm > 0 ? blur / norm + e + (k * 2 ** -126) / norm ** 2 : Infinity;', 'const beta = norm > 0 ? e : Infinity;'],
  ]),
  ...of('packages/nn/src/lora/adapter.ts', [law('base'), law('variants')], [
    ['what is trained whole is the base’s own', '?? keep(noGrad(() => copy(base)))', '?? base'],
  ]),
  ...of('packages/nn/src/layers/conv1d.ts', [LAWS], [
    ['a merged Conv1D is a view of the transpose', 'new Conv1D(contiguous(transpose(matrix)), this.bias)', 'new Conv1D(transpose(matrix), this.bias)'],
  ]),
  ...of('packages/nn/src/lora/lora-model.ts', [law('swap')], [
    ['a swap keeps the old one’s layers', 'const others = adapters !== this.adapters;', 'const others = adapters.size !== this.adapters.size;'],
  ]),
  ...of('packages/nn/src/lora/lora-model.ts', [law('state-machine')], [
    ['activating adds to what is active', 'const active = new Map(weights);', 'const active = new Map([...this.active, ...weights]);'],
    ['the strength multiplies the one before', 'new Map(this.active).set(name, weight)', 'new Map(this.active).set(name, weight * this.active.get(name)!)'],
  ]),
  ...of('packages/nn/src/lora/lora-model.ts', [law('switch')], [
    ['what a deactivated adapter trained whole stays', 'const wanted = new Map([...this.#replaced].map((path) => [path, own.get(path)!]));', 'const wanted = new Map<string, Tensor>();'],
  ]),
  ...of('packages/nn/src/lora/branch.ts', [law('layout')], [
    ['a slice begins at its layer’s first output', 'return this.slice?.start ?? 0;', 'return 0;'],
  ]),
  ...of('packages/nn/src/lora/lora-embedding.ts', [law('embedding')], [
    ['a table’s rows without s', 'mul(linear(gather(transpose(A), ids), B), scale)', 'linear(gather(transpose(A), ids), B)'],
  ]),
  ...of('packages/cpu/src/gather.ts', [law('embedding')], [
    ['repeated tokens overwrite each other', 'target[(p + j * step) | 0] += source', 'target[(p + j * step) | 0] = source'],
  ]),
  ...of('packages/core/src/ops/gather.ts', [law('embedding'), 'core/ops/gather.test.ts'], [
    ['scatter-add adds to whatever lies in memory', 'backend.map(e.scalarFn(out!.buffer.type as \'f32\', 0, 0, [e.constant(0)]), [], [out!], []);', ''],
  ]),
  ...of('packages/nn/src/lora/adapted.ts', [law('mixed-batch')], [
    ['each row goes through the active adapter', '.filter((branch) => branch.adapter === name)', '.filter((branch) => this.state.active.has(branch.adapter))'],
  ]),
  ...of('packages/nn/src/lora/mixed-batch.ts', [law('mixed-batch')], [
    ['rows of none go through the first adapter', 'if (name === null) return [];', 'name ??= [...rows.keys()].find((other) => other !== null) ?? null;\n    if (name === null) return [];'],
  ]),
  ...of('packages/nn/src/lora/plan.ts', [law('variants')], [
    ['DoRA’s lengths are counted by inputs', 'config.dora ? out : 0];', 'config.dora ? k : 0];'],
    ['a frozen A is counted as trained', '(config.freezeA ? 0 : A) + B + m', 'A + B + m'],
  ]),
  ...of('packages/nn/src/lora/targets.ts', [law('plan')], [
    ['a pattern means the end of a name', 'path === pattern || path.endsWith(`.${pattern}`)', 'path.endsWith(pattern)'],
    ['a pattern that means nothing is passed over', 'if (!all.some(({ path }) => matches(pattern, path)))', 'if (all.length === 0)'],
  ]),
  ...of('packages/nn/src/layers/dropped.ts', [law('dropout')], [
    ['one mask for all layers', 'key: foldIn(key, owner.path)', 'key'],
  ]),
  ...of('packages/nn/src/lora/lora-linear.ts', [law('dropout')], [
    ['DoRA’s dropout takes from W, too', 'return add(mul(part, f), mul(lost, sub(1, f)));', 'return mul(part, f);'],
  ]),
  ...of('packages/nn/src/lora/lora-linear.ts', [law('dora')], [
    ['DoRA multiplies the bias, too', 'matrix,\n      undefined,\n      branches.flatMap(', 'matrix,\n      bias,\n      branches.flatMap('],
  ]),
  ...of('packages/nn/src/lora/dora.ts', [law('dora')], [
    ['DoRA divides where m is the norm', 'return add(quotient, detach(where(eq(magnitude, norm), sub(1, quotient), 0)));', 'return quotient;'],
    ['DoRA divides by the length of a row of zeros', 'return where(eq(n, 0), 1, n);', 'return n;'],
  ]),
  ...of('packages/nn/src/lora/init.ts', [law('starts')], [
    ['PiSSA gives A and B the whole of σ each', 'const root = (j: number): number => Math.sqrt(S[j]! / s);', 'const root = (j: number): number => S[j]! / s;'],
    ['OLoRA’s B has the other sign', 'return { A: rowsOf(R, 0, r), B: firstColumns(Q, r) };', 'return { A: rowsOf(R, 0, r), B: scaled(firstColumns(Q, r), -1) };'],
    ['orthogonal: A and B from one half of the basis', "half(1)), 1 / 10),", "half(0)), 1 / 10),"],
  ]),
  ...of('packages/nn/src/lora/init.ts', [law('init')], [
    ['A is uniform up to its bound alone', 'low: -edge, high: edge', 'low: 0, high: edge'],
  ]),
  ...of('packages/nn/src/lora/adapter.ts', [law('taken')], [
    ['a frozen A is trained', "(name === 'A' && !this.config.freezeA)", "name === 'A'"],
  ]),
  ...of('packages/nn/src/lora/lora-plus.ts', [law('lora-plus')], [
    ['LoRA+’s ratio is everybody’s', '{ params: slow, ...decay },', '{ params: slow, lrRatio: ratio, ...decay },'],
    ['an embedding’s B learns λ times as fast', "else if (inTable && factor !== 'magnitude' && factor !== undefined)", "else if (inTable && factor === 'A')"],
  ]),
  ...of('packages/nn/src/analysis/similarity.ts', [law('analysis')], [
    ['φ is divided by the larger of i and j', 'shared / (Math.min(i, j) + 1)', 'shared / (Math.max(i, j) + 1)'],
    ['random subspaces share min(i, j) / k', 'return Math.max(i, j) / k;', 'return Math.min(i, j) / k;'],
    ['every direction counts as determined', '> Math.max(U.rows, V.rows) * roundoff * S[0]!;', '>= -Math.max(U.rows, V.rows) * roundoff * S[0]!;'],
  ]),
  ...of('packages/nn/src/analysis/amplification.ts', [law('analysis')], [
    ['amplification along W’s own directions', 'factor: ofDelta === undefined ? undefined : deltaNorm / ofDelta,', 'factor: ofDelta === undefined ? undefined : deltaNorm / table.projected.ofWeight,'],
    ['the random projection is r ‖W‖ / (d k)', '(r * weightNorm) / Math.sqrt(d * k);', '(r * weightNorm) / (d * k);'],
  ]),
  ...of('packages/nn/src/fingerprint.ts', [law('fingerprint')], [
    ['the fingerprint passes over vectors', 'lines.push(', 'if (t.rank > 1) lines.push('],
    ['the fingerprint is of f32 whatever is held', '(exact ? narrow : Float64Array.from(values))', 'narrow'],
  ]),
  ...of('packages/nn/src/files/peft-check.ts', ['nn/files/peft-load.test.ts'], [
    ['B’s shape is not looked at', "want('B', [out, r], '[out, r]');", ''],
    ['a module without tensors stays the base’s', 'if (!stored.modules.has(path)) bad(', 'if (!stored.modules.has(path) && stored.modules.size === 0) bad('],
  ]),
  ...of('packages/nn/src/files/peft-names.ts', ['nn/files/peft-load.test.ts'], [
    ['an empty file loads as the base', 'if (modules.size + full.size === 0)', 'if (modules.size + full.size < 0)'],
  ]),
  ...of('packages/nn/src/files/peft-pair.ts', ['nn/files/peft-pair.test.ts'], [
    ['the old configuration stays while new weights take their place', 'removed = await folder.remove(ADAPTER_CONFIG);', 'removed = false;'],
  ]),
  ...of('packages/nn/src/files/safetensors-header.ts', ['nn/files/safetensors-header.test.ts'], [
    ['tensors may overlap', 'if (offset < end)', 'if (offset < start)'],
    ['a file may be longer than its tensors', 'if (end < fileSize)', 'if (end < start)'],
    ['a tensor may end past the file', 'if (end > fileSize - start) {', 'if (end > fileSize) {'],
    ['an absurd header is believed', 'if (length > MAX_HEADER) {', 'if (length > MAX_HEADER ** 2) {'],
  ]),
  ...of('packages/nn/src/files/json.ts', ['nn/files/json.test.ts'], [
    ['the last of two equal keys holds', 'if (key in object) throw', 'if (key in object && key === \'\') throw'],
    ['objects have a prototype', 'const object: JsonObject = Object.create(null);', 'const object: JsonObject = {};'],
  ]),
  ...of('packages/nn/src/files/sealed.ts', ['nn/files/sealed.test.ts'], [
    ['the seal is not looked at', 'return said === sum ? undefined', 'return said === said ? undefined'],
  ]),
  ...of('packages/core/src/half.ts', ['core/half.test.ts'], [
    ['bf16 cuts off what it cannot hold', '(b + 0x7fff + ((b >>> 16) & 1)) >>> 16', 'b >>> 16'],
    ['f16 rounds ties away from zero', '(rest === half && (kept & 1) === 1)', 'rest === half'],
  ]),
  ...of('packages/core/src/ops/attention.ts', ['core/ops/attention.test.ts'], [
    ['attention without 1/√d', 'options.scale ?? 1 / Math.sqrt(q.shape.at(-1) ?? 1)', 'options.scale ?? 1'],
    ['query heads share the wrong key heads', 'reshape(q, [q.shape[0]!, kvHeads, q.shape[1]! / kvHeads, q.shape[2]!, q.shape[3]!]);', 'transpose(reshape(q, [q.shape[0]!, q.shape[1]! / kvHeads, kvHeads, q.shape[2]!, q.shape[3]!]), 1, 2);'],
  ]),
  ...of('packages/core/src/ops/softmax.ts', ['core/ops/softmax.test.ts'], [
    ['softmax does not take the largest off', 'const powers = exp(sub(x!, detach(max(x!, axis, keepDims))));', 'const powers = exp(x!);'],
  ]),
  ...of('packages/core/src/ops/cross-entropy.ts', ['core/ops/cross-entropy.test.ts'], [
    ['ignored rows count in the mean', 'cast(sum(ne(targets, ignoreIndex)), like.dtype)', 'cast(sum(eq(targets, targets)), like.dtype)'],
    ['ignored rows have a gradient', 'return mul(where(valid, difference, 0), div(', 'return mul(difference, div('],
  ]),
  ...of('packages/core/src/ops/cross-entropy.ts', ['laws/ops/isolation.test.ts'], [
    ['an ignored row is multiplied by 0, not left out', 'where(hit, logSoftmax(logits!), 0)', 'mul(cast(hit, logits!.dtype), logSoftmax(logits!))'],
  ]),
  ...of('packages/nn/src/text.ts', ['nn/perplexity.test.ts'], [
    ['the target is the token itself', 'tokens.subarray(start + 1, start + context + 1)', 'tokens.subarray(start, start + context)'],
  ]),
  ...of('packages/nn/src/perplexity.ts', ['nn/perplexity.test.ts'], [
    ['perplexity averages batches alike', 'sum += (await loss.item()) * validTokens;', 'sum += ((await loss.item()) * total) / Math.ceil(total / (context * batch));'],
  ]),
  ...of('packages/nn/src/models/gpt2.ts', ['nn/generate.test.ts'], [
    ['a cached token stands at the first place', 'const start = context.cache?.length ?? 0;', 'const start = 0;'],
  ]),
  ...of('packages/nn/src/layers/attention.ts', ['nn/generate.test.ts'], [
    ['a cache forgets its first token', '{ k: slice(held.k, 2, 0, to), v: slice(held.v, 2, 0, to) }', '{ k: slice(held.k, 2, Math.min(1, from), to), v: slice(held.v, 2, Math.min(1, from), to) }'],
  ]),
  ...of('packages/core/src/ops/layer-norm.ts', ['core/ops/layer-norm.test.ts'], [
    ['the variance is the unbiased one', 'const rstd = rsqrt(add(mean(mul(centred, centred), -1, keepDims), eps));', 'const rstd = rsqrt(add(mul(mean(mul(centred, centred), -1, keepDims), x.shape.at(-1)! / (x.shape.at(-1)! - 1)), eps));'],
    ['ε outside of the root of layer norm', 'const rstd = rsqrt(add(mean(mul(centred, centred), -1, keepDims), eps));', 'const rstd = rsqrt(mul(add(1, mul(rsqrt(mean(mul(centred, centred), -1, keepDims)), eps)), mean(mul(centred, centred), -1, keepDims)));'],
  ]),
  ...of('packages/core/src/ops/rms-norm.ts', ['core/ops/rms-norm.test.ts'], [
    ['RMS norm of the sum, not the mean', 'rsqrt(add(mean(mul(x, x), -1, keepDims), eps))', 'rsqrt(add(sum(mul(x, x), -1, keepDims), eps))'],
  ]),
  ...of('packages/nn/src/optim/sgd.ts', ['nn/optim/sgd.test.ts'], [
    ['momentum damps the gradient', 'const velocity = e.add(e.mul(momentum, v), slope);', 'const velocity = e.add(e.mul(momentum, v), e.mul(1 - momentum, slope));'],
    ['Nesterov’s look ahead from the old velocity', 'e.add(slope, e.mul(momentum, velocity))', 'e.add(slope, e.mul(momentum, v))'],
    ['decay is not part of the gradient', 'const slope = e.add(g, e.mul(lambda, theta));', 'const slope = e.add(g, e.mul(0, theta));'],
  ]),
  ...of('packages/nn/src/optim/schedule.ts', ['nn/optim/schedule.test.ts'], [
    ['the first step has a rate of 0', 'return lr * ((step + 1) / (warmup + 1));', 'return lr * (step / (warmup + 1));'],
    ['the decay begins before the warm-up ends', 'shape((step - warmup) / (steps - warmup))', 'shape(step / steps)'],
  ]),
  ...of('packages/nn/src/optim/optimizer.ts', ['nn/optim/optimizer.test.ts'], [
    ['a loaded optimiser counts from 0', 'stepCount = count;', 'stepCount = 0;'],
    ['a loaded optimiser keeps its own state', 'for (const [name, own] of named) assign(own, state.get(name)!);', ''],
  ]),
  ...of('packages/nn/src/files/checkpoint.ts', ['nn/train/checkpoints.test.ts'], [
    ['a checkpoint brings back the state, not the parameters', 'for (const [name, t] of optimizer.namedParams) assign(t, read.get(`parameter/${name}`)!);', ''],
    ['a checkpoint holds f32 alone', "t.dtype === 'f64'\n      ? ", "t.dtype === 'i32'\n      ? "],
  ]),
  ...of('packages/nn/src/train/step.ts', ['nn/train/train.test.ts'], [
    ['every micro-batch draws the same masks', 'key: foldIn(stepKey, micro)', 'key: stepKey'],
    ['gradients of one micro-batch alone', 'mapRuns([total!.grads, laid], (a, b) => add(a!, b!))', 'mapRuns([total!.grads, laid], (a, b) => add(mul(a!, 0), b!))'],
  ]),
  ...of('packages/core/src/grad.ts', ['laws/ops/shared-nodes.test.ts'], [
    ['of several uses the last one counts', 'const whole = sofar ? add(sofar, g) : g;', 'const whole = sofar ? copy(g) : g;'],
  ]),
  ...of('packages/core/src/grad.ts', ['core/grad.test.ts'], [
    ['a gradient shares the memory of another', 'return g.record || (!g.kept && g.hold.memory.holders === 1 && isContiguous(g.view)) ? g : copy(g);', 'return g;'],
  ]),
  ...of('packages/core/src/ops/elementwise.ts', ['laws/ops/isolation.test.ts'], [
    ['where multiplies by 1 and 0', '(c, a, b) => e.select(c, a, b)', '(c, a, b) => e.add(e.mul(c, a), e.mul(e.sub(1, c), b))'],
  ]),
  ...of('packages/wasm/src/kernels/softmax.ts', ['laws/ops/purity.test.ts'], [
    ['a softmax writes its powers into its input', 'y === undefined ? [] : v.store(q, power),', 'y === undefined ? [] : [v.store(q, power), v.store(p, power)],'],
  ]),
  ...of('packages/wasm/src/kernels/softmax.ts', ['laws/ops/backends.test.ts'], [
    ['the last lanes of a row are summed whether they exist or not', 'sum.set(f32x4.add(sum, v.existing(power, s.f32(0)))),', 'sum.set(f32x4.add(sum, power)),'],
  ]),
  ...of('packages/wasm/src/kernels/dot.ts', ['laws/ops/backends.test.ts'], [
    ['a dot product reads beyond its end', 'addProducts((p) => v128.and(v128.load(p), mask)),', 'addProducts((p) => v128.load(p)),'],
  ]),
  ...of('packages/wasm/src/memory.ts', ['wasm/memory.test.ts'], [
    ['what lies between two free blocks is given out, too', 'last[0] + last[1] === address) last[1] += bytes;', 'last[0] + last[1] <= address) last[1] = address + bytes - last[0];'],
    ['views of memory that has grown stay as they are', 'if (buffer === this.#buffer) return;', 'if (this.#buffer) return;'],
    ['a packed copy outlives a write', 'buffer.packs = undefined;', ''],
  ]),
  ...of('packages/wasm/worker.js', ['wasm/threads/worker.test.ts', 'wasm/threads/pool.test.ts'], [
    ['claims are no atomic operations', 'const from = Atomics.add(c, NEXT, chunk);', 'const from = Atomics.load(c, NEXT);\n          c[NEXT] = from + chunk;'],
    ['all workers share one scratch', 'const [units, chunk, scratch] = [c[UNITS], c[CHUNK], c[SCRATCH] + thread * c[SCRATCH_BYTES]];', 'const [units, chunk, scratch] = [c[UNITS], c[CHUNK], c[SCRATCH]];'],
  ]),
  ...of('packages/wasm/src/threads/pool.ts', ['wasm/threads/pool.test.ts'], [
    ['the caller does not wait for the workers', 'Atomics.store(c, word.OPEN, 0);\n      this.#wait();', 'Atomics.store(c, word.OPEN, 0);'],
  ]),
  ...of('packages/wasm/src/kernels/math.ts', ['wasm/kernels/math.test.ts'], [
    ['a coefficient of exp has four digits', '0.16666521', '0.1667'],
    ['tanh takes the far formula from 0.3 on', 'f32x4.lt(a, s.f32(0.6))', 'f32x4.lt(a, s.f32(0.3))'],
    ['log of subnormal numbers forgets what they were multiplied by', 'v128.bitselect(s.i32(126 + 23), s.i32(126), tiny)', 's.i32(126)'],
  ]),
  ...of('packages/webgpu/src/functions.ts', ['webgpu/functions.test.ts'], [
    ['a coefficient of the GPU’s tanh has three digits', '0.13331924', '0.133'],
    ['the GPU’s erf takes the far formula of 1 + x', "let far = V(1.0f) - exp(-${horner('a', ERF_FAR)});", "let far = V(1.0f) - exp(-${horner('z', ERF_FAR)});"],
  ]),
  ...of('packages/nn/src/lora/changed-rows.ts', [law('several')], [
    ['each product is added to W by itself', "add(\n    slice(layer.matrix, 0, start, end),\n    deltas.reduce((a, b) => add(a, b)),\n  );", "deltas.reduce((a, b) => add(a, b), slice(layer.matrix, 0, start, end));"],
  ]),
  ...of('packages/nn/src/lora/lora-plus.ts', [law('lora-plus')], [
    ['LoRA+ decays biases', '{ params: bare, lrRatio: ratio, weightDecay: 0 },', '{ params: bare, lrRatio: ratio, ...decay },'],
  ]),
  ...of('packages/nn/src/lora/plan.ts', [law('plan'), law('layout')], [
    ['slices that lie side by side overlap', 'from < to + b.out && to < from + a.out', 'from <= to + b.out && to <= from + a.out'],
    ['slices overlap where one begins in the other alone', 'from < to + b.out && to < from + a.out', 'from === to'],
  ]),
  ...of('packages/nn/src/lora/init.ts', [law('starts')], [
    ['orthogonal: A and B from the same numbers', "random(r / 2, out, 'B')", "random(r / 2, out, 'A')"],
    ['orthogonal: no tenth of A', "half(0))), 1 / 10),", "half(0))), 1),"],
  ]),
  ...of('packages/nn/src/fingerprint.ts', [law('fingerprint')], [
    ['the fingerprint knows no names', '`${name} [${t.shape', '`[${t.shape'],
    ['the fingerprint knows no shapes', '[${t.shape.join(\', \')}]', '[]'],
  ]),
  ...of('packages/nn/src/lora/merge-report.ts', [law('several'), law('merge-report')], [
    ['the bound forgets numbers too small for f16', '+ least + 2 ** -149;', '+ 2 ** -149;'],
    ['DoRA’s bound forgets the squares that f32 loses', ' + (k * 2 ** -126) / norm ** 2', ''],
    ['DoRA’s bound forgets how the norm is rounded', 'const e = (k / 2 + 8) * u;', 'const e = 0;'],
  ]),
  ...of('packages/core/src/ops/attention.ts', ['core/ops/attention.test.ts'], [
    ['a query that sees no key passes a gradient to q and k', 'mask ? hide(dSoftmax, 0, mask, attrs.causal) : dSoftmax', 'dSoftmax'],
  ]),
  ...of('packages/nn/src/files/peft-blocks.ts', ['nn/files/peft-save.test.ts'], [
    ['rows that no slice changes are saved with the length 1', 'Math.hypot(...W.subarray(i * k, (i + 1) * k))', '1'],
  ]),
  ...of('packages/nn/src/lora/algebra.ts', [law('algebra')], [
    ['a multiple of an rsLoRA adapter has α/r', 'return new LoraBranch(parts, { alpha, rslora, place });', 'return new LoraBranch(parts, { alpha, place });'],
  ]),
  ...of('packages/nn/src/optim/adamw.ts', ['nn/optim/adamw.test.ts'], [
    ['AdamW without the bias correction of v', 'Math.sqrt(1 - beta2 ** t),', '1,'],
  ]),
  ...of('packages/nn/src/lora/plan.ts', [law('scale')], [
    ['a rank may exceed the smaller side', 'if (r > Math.min(k, out))', 'if (r > Math.max(k, out))'],
  ]),
  ...of('packages/nn/src/files/peft-blocks.ts', ['nn/files/peft-load.test.ts', 'nn/files/peft-save.test.ts'], [
    ['slices of rsLoRA are saved with the sum of their α', 'rslora && !plain ?', 'rslora && plain ?'],
    ['what lies outside of a slice’s block is passed over', 'v !== 0 && inside[i] === 0', 'v !== v && inside[i] === 0'],
  ]),
  ...of('packages/nn/src/files/peft-config.ts', ['nn/files/peft-load.test.ts'], [
    ['PiSSA by fast SVD is read as a plain start', '/^(pissa_|corda|', '/^(corda|'],
  ]),
  ...of('packages/nn/src/lora/check-active.ts', [law('switch')], [
    ['another adapter may act beside DoRA if it comes later', 'other.name !== name && (dora || other.dora)', 'other.name !== name && dora'],
  ]),
  ...of('packages/nn/src/lora/plan.ts', [law('variants')], [
    ['of several patterns the last one holds', 'patterns.find(([pattern]) => pattern.test(path))', 'patterns.findLast(([pattern]) => pattern.test(path))'],
  ]),
  ...of('packages/nn/src/lora/targets.ts', [law('plan')], [
    ['a RegExp matches a part of a path', 'new RegExp(`^(?:${pattern.source})$`, ', 'new RegExp(pattern.source, '],
  ]),
  ...of('packages/nn/src/lora/lora-model.ts', [law('state-machine')], [
    ['a removed adapter’s layers stay', 'else if (this.#layers.has(path)) put(this.model, path, transform(module, {}));', ''],
  ]),
  ...of('packages/nn/src/files/peft-blocks.ts', [law('taken')], [
    ['what PiSSA took out is saved with its own sign', 'B: B0 ? beside(B, scaled(B0, -1)) : B,', 'B: B0 ? beside(B, B0) : B,'],
  ]),
  ...of('packages/webgpu/src/calls/matmul.ts', ['backend/parts.test.ts'], [
    ['the second half of a product’s terms replaces the first', 'accumulate: rest.accumulate || part[0] > 0,', 'accumulate: rest.accumulate,'],
  ]),
]; // prettier-ignore
