/**
 * Attention and its gradients on the GPU, in both forms: blocks of queries (what software adapters take) and tiles of
 * workgroup memory (what others take), whatever the adapter of this run is. The oracle is the composed form in f64.
 */
import { assertSameBits, assertWithin } from '@bax/check';
import {
  attention, type Backend, expand, grad, mul, permute, randn, reshape, scope, slice, sum, type Tensor, tensor, zeros,
} from '@bax/core'; // prettier-ignore
import { cpu } from '@bax/cpu';
import { webgpu, type WebGpuBackend } from '@bax/webgpu';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { anyAdapter } from '../../support/backends.ts';
import { runs } from '../../support/runs.ts';

const f64 = cpu();
/** Rounding of some hundred f32 terms, as for every op: 2^-17 of the largest number in sight. */
const NEAR = 2 ** -17;

interface Case {
  readonly batch: number;
  readonly kvHeads: number;
  readonly group: number;
  readonly queries: number;
  readonly keys: number;
  readonly depth: number;
  readonly width: number;
  readonly causal: boolean;
  /** Rank of the mask; 0 where there is none. */
  readonly mask: 0 | 1 | 2 | 4;
  /** How q, k and v lie: each alone, as heads of [B, T, C], or all in one [B, T, 3C]. */
  readonly lies: 'alone' | 'split' | 'together';
  readonly seed: number;
}
const plain = { batch: 1, kvHeads: 1, group: 1, causal: true, mask: 0, lies: 'alone', seed: 1 } as const;
const square = (length: number, depth: number): Pick<Case, 'queries' | 'keys' | 'depth' | 'width'> => ({
  queries: length,
  keys: length,
  depth,
  width: depth,
});

/** [B, T, H · D] seen as [B, H, T, D]. */
const heads = (x: Tensor, count: number): Tensor =>
  permute(reshape(x, [x.shape[0], x.shape[1], count, x.shape[2] / count]), [0, 2, 1, 3]);

/** The result and the gradients of what q, k and v are made of. */
async function results(c: Case, backend: Backend, dtype: 'f32' | 'f64'): Promise<ArrayLike<number>[]> {
  const { batch, kvHeads, group, queries, keys, depth, width } = c;
  const h = kvHeads * group;
  let next = 8 * c.seed;
  const leaf = (shape: number[], requiresGrad = true): Tensor => {
    const values = randn(shape, { key: next++, backend: f64 });
    return tensor(values.peek()!, { shape, dtype, backend, requiresGrad });
  };
  const tensors = scope(() => {
    let leaves: Tensor[];
    let qkv: Tensor[];
    if (c.lies === 'together') {
      const x = leaf([batch, keys, (h + 2 * kvHeads) * depth]);
      leaves = [x];
      const [a, b] = [h * depth, (h + kvHeads) * depth];
      qkv = [
        heads(slice(slice(x, 1, keys - queries, keys), 2, 0, a), h),
        heads(slice(x, 2, a, b), kvHeads),
        heads(slice(x, 2, b, x.shape[2]), kvHeads),
      ];
    } else if (c.lies === 'split') {
      leaves = [
        leaf([batch, queries, h * depth]),
        leaf([batch, keys, kvHeads * depth]),
        leaf([batch, keys, kvHeads * width]),
      ];
      qkv = leaves.map((x, i) => heads(x, i === 0 ? h : kvHeads));
    } else
      qkv = leaves = [
        leaf([batch, h, queries, depth]),
        leaf([batch, kvHeads, keys, depth]),
        leaf([batch, kvHeads, keys, width]),
      ];
    const shapes = [[], [keys], [queries, keys], [], [batch, 1, queries, keys]];
    const shape = shapes[c.mask];
    const values = randn([batch * queries * keys], { key: next++, backend: f64 }).peek()!;
    // Some keys hidden; every third query sees none at all, where the mask tells queries apart.
    const bits = Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) =>
      (shape.length > 1 && Math.floor(i / keys) % 3 === 1) || values[i] > 0.5 ? 0 : 1,
    );
    const mask = c.mask === 0 ? undefined : tensor(bits, { shape, dtype: 'i32', backend });
    const y = attention(qkv[0], qkv[1], qkv[2], { causal: c.causal, ...(mask ? { mask } : {}) });
    const g = leaf([...y.shape], false);
    const grads = grad(sum(mul(y, g)), leaves, { retain: true });
    return [y.detach(), ...grads];
  });
  const values = await Promise.all(tensors.map(async (t) => t.data()));
  for (const t of tensors) t.dispose();
  return values;
}

async function check(c: Case, backend: Backend): Promise<void> {
  const want = await results(c, f64, 'f64');
  const ours = await results(c, backend, 'f32');
  expect(ours).toHaveLength(want.length);
  want.forEach((values, i) => {
    const largest = Array.from(values, Math.abs).reduce((m, x) => Math.max(m, x), 1);
    assertWithin(ours[i], values, NEAR * largest, i === 0 ? 'y' : `gradient ${i - 1}`);
  });
}

const lengths = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 9 }) },
  { weight: 2, arbitrary: fc.constantFrom(31, 32, 33, 63, 64, 65) },
  { weight: 1, arbitrary: fc.constantFrom(127, 128, 129) },
);
const depths = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 5 }) },
  { weight: 1, arbitrary: fc.constantFrom(16, 31, 32) },
);
const anyCase: fc.Arbitrary<Case> = fc
  .record({
    batch: fc.integer({ min: 1, max: 2 }),
    kvHeads: fc.integer({ min: 1, max: 2 }),
    group: fc.integer({ min: 1, max: 3 }),
    queries: lengths,
    more: fc.oneof(fc.constant(0), lengths),
    depth: depths,
    width: depths,
    causal: fc.boolean(),
    mask: fc.constantFrom(0, 0, 1, 2, 4),
    lies: fc.constantFrom('alone', 'split', 'together'),
    seed: fc.integer({ min: 1, max: 999 }),
  })
  .map(({ more, ...c }): Case => ({
    ...c,
    keys: c.queries + more,
    width: c.lies === 'together' ? c.depth : c.width,
  }));

const forms = [
  { form: 'blocks of queries', software: true },
  { form: 'tiles', software: false },
] as const;

describe.each(forms)('$form', ({ software }) => {
  let gpu: WebGpuBackend;
  beforeAll(async () => void (gpu = await webgpu({ ...anyAdapter, pretend: { software } })));
  afterAll(() => gpu.close());
  const f32 = (values: number[], shape: number[]): Tensor => tensor(values, { shape, backend: gpu });
  const normal = (shape: number[], key: number): Tensor => randn(shape, { key, backend: gpu });

  // The first test: what later ones leave to the garbage collector would be counted.
  test('scores of all queries are never in memory, and temporaries are freed', async () => {
    const small: Case = { ...plain, ...square(37, 5), group: 2, mask: 2 };
    await results(small, gpu, 'f32');
    const before = gpu.memory(); // with what the backend keeps for the next gradient
    const [count, length] = [2, 1024];
    const shape = [1, count, length, 4];
    const qkv = [1, 2, 3].map((key) => randn(shape, { key, backend: gpu, requiresGrad: true }));
    const grads = scope(() => grad(sum(attention(qkv[0], qkv[1], qkv[2], { causal: true })), qkv));
    await grads[0].data();
    expect(gpu.memory().peak).toBeLessThan((count * length * length * 4) / 2);
    for (const t of [...qkv, ...grads]) t.dispose();
    await results(small, gpu, 'f32');
    const { live, buffers } = gpu.memory();
    expect({ live, buffers }).toEqual({ live: before.live, buffers: before.buffers });
  });

  test('random calls: the result and the gradients', async () => {
    await fc.assert(
      fc.asyncProperty(anyCase, async (c) => check(c, gpu)),
      runs(40),
    );
  });

  test.each<[string, Case]>([
    ['one token', { ...plain, ...square(1, 1) }],
    ['several blocks of queries', { ...plain, ...square(513, 4), lies: 'together', group: 2 }],
    ['a block less one', { ...plain, ...square(511, 8), causal: false }],
    ['blocks behind a cache', { ...plain, ...square(140, 4), keys: 300, group: 3 }],
    ['blocks with a mask', { ...plain, ...square(140, 4), keys: 150, mask: 4, batch: 2, group: 2 }],
    ['one query and a long cache', { ...plain, ...square(1, 32), keys: 512, kvHeads: 2, group: 2 }],
    ['one query, keys hidden', { ...plain, ...square(1, 8), keys: 200, mask: 1 }],
    ['four queries', { ...plain, ...square(4, 12), keys: 129, lies: 'split', kvHeads: 2 }],
    ['five queries', { ...plain, ...square(5, 12), keys: 129, mask: 2 }],
    ['depth 33', { ...plain, ...square(33, 33), keys: 65, kvHeads: 2 }],
    ['depth 64', { ...plain, ...square(65, 64), group: 2, lies: 'together' }],
    ['depth 129', { ...plain, ...square(9, 129), width: 3 }],
  ])('%s', async (_, c) => check(c, gpu));

  test.each<[string, Case]>([
    ['depth 128, of v 5', { ...plain, ...square(33, 128), width: 5 }],
    ['depth 4, of v 128', { ...plain, ...square(33, 4), width: 128, mask: 2 }],
  ])('%s', async (_, c) => check(c, gpu), 240_000); // kernels of their own, which SwiftShader compiles for half a minute

  // P36
  test('Q = K = 0, causal: row i is the mean of v_0 … v_i', async () => {
    const [length, width] = [40, 4];
    const zero = zeros([1, 1, length, 4], { backend: gpu });
    const v = normal([1, 1, length, width], 1);
    const y = await attention(zero, zero, v, { causal: true }).data();
    const values = await v.data();
    const sums = Array.from({ length: width }, () => 0);
    const want = Array.from(y, (_, at) => (sums[at % width] += values[at]) / (Math.floor(at / width) + 1));
    assertWithin(y, want, 2 ** -20, 'means');
  });

  test('one key: the result is v', async () => {
    const [q, k, v] = [normal([2, 2, 1, 3], 1), normal([2, 2, 1, 3], 2), normal([2, 2, 1, 3], 3)];
    assertSameBits(await attention(q, k, v).data(), await v.data(), 'v');
    assertSameBits(await attention(q, k, v, { causal: true }).data(), await v.data(), 'v, causal');
  });

  test('two keys: a logistic function of the difference of the scores', async () => {
    const q = f32([1, -2], [1, 1, 1, 2]);
    const k = f32([0.5, 1, -1, 0.25], [1, 1, 2, 2]);
    const [p] = await attention(q, k, f32([1, 0], [1, 1, 2, 1])).data();
    expect(p).toBeCloseTo(1 / (1 + Math.exp(-(-1.5 - -1.5) / Math.SQRT2)), 6);
    const [r] = await attention(q, k, f32([1, 0], [1, 1, 2, 1]), { scale: -3 }).data();
    expect(r).toBeCloseTo(0.5, 6);
    const [s] = await attention(f32([1, 0], [1, 1, 1, 2]), k, f32([1, 0], [1, 1, 2, 1]), { scale: 2 }).data();
    expect(s).toBeCloseTo(1 / (1 + Math.exp(-3)), 6);
  });

  test('what is added to all scores of a row changes nothing', async () => {
    const [length, c] = [70, 1e4];
    const column = (t: Tensor, value: number): Tensor =>
      tensor(
        Array.from(t.peek()!, (x, i) => (i % 4 === 3 ? value : x)),
        { shape: t.shape, backend: gpu },
      );
    const [q, k, v] = [1, 2, 3].map((key) => randn([1, 2, length, 4], { key, backend: f64 }));
    const far = attention(column(q, 1), column(k, c), column(v, 1), { scale: 1 });
    const near = attention(column(q, 1), column(k, 0), column(v, 1), { scale: 1 });
    // A score is rounded to 2^-10 there.
    assertWithin(await far.data(), await near.data(), 2 ** -8, 'shifted');
  });

  test('weights sum to one', async () => {
    const v = expand(f32([1], [1, 1, 1, 1]), [2, 2, 100, 4]);
    const y = await attention(normal([2, 4, 100, 8], 1), normal([2, 2, 100, 8], 2), v, {
      causal: true,
    }).data();
    assertWithin(y, Array.from(y, () => 1), 2 ** -20, 'ones'); // prettier-ignore
  });

  test('a query that sees no key gives the mean of v, and its scores have no gradient', async () => {
    const [q, k, v] = [2, 2, 3].map((width, key) =>
      randn([1, 1, 5, width], { key, backend: gpu, requiresGrad: true }),
    );
    const values = await v.data();
    const mask = tensor([1, 0, 1, 1, 1], { shape: [5, 1], dtype: 'i32', backend: gpu });
    const y = attention(q, k, v, { causal: true, mask });
    const mean = [0, 1, 2].map((d) => [0, 1, 2, 3, 4].reduce((s, j) => s + values[3 * j + d] / 5, 0));
    assertWithin((await y.data()).slice(3, 6), mean, 2 ** -20, 'the mean');
    const [dq, , dv] = grad(sum(slice(y, 2, 1, 2)), [q, k, v]);
    assertSameBits(await dq.data(), Array.from({ length: 10 }, () => 0), '∂q'); // prettier-ignore
    assertWithin(await dv.data(), Array.from({ length: 15 }, () => 0.2), 2 ** -20, '∂v'); // prettier-ignore
  });

  // P35
  test.each([
    [40, 17],
    [300, 130],
    [4, 2],
  ])('of %i tokens, changing number %i leaves what is before it, and changes it', async (length, t) => {
    const shape = [2, 2, length, 8];
    const before = [1, 2, 3].map((key) => randn(shape, { key, backend: f64 }).peek()!);
    const after = before.map((values) =>
      values.map((x, i) => (Math.floor(i / 8) % length === t ? x + 1 : x)),
    );
    const [y, z] = await Promise.all(
      [before, after].map(async (qkv) => {
        const [q, k, v] = qkv.map((values) => tensor(values, { shape, backend: gpu, dtype: 'f32' }));
        return attention(q, k, v, { causal: true }).data();
      }),
    );
    const rows = (values: ArrayLike<number>, keepRow: (row: number) => boolean): number[] =>
      Array.from(values).filter((_, i) => keepRow(Math.floor(i / 8) % length));
    assertSameBits(
      rows(z, (row) => row < t),
      rows(y, (row) => row < t),
      'what is before',
    );
    expect(rows(z, (row) => row === t)).not.toEqual(rows(y, (row) => row === t));
  });

  test('twenty runs give the same bits', async () => {
    const c: Case = { ...plain, ...square(70, 8), group: 2 };
    const first = await results(c, gpu, 'f32');
    for (let i = 1; i < 20; i++)
      (await results(c, gpu, 'f32')).forEach((values, j) => assertSameBits(values, first[j], `run ${i}`));
  });

  test('it takes few dispatches', async () => {
    const [q, k, v] = [1, 2, 3].map((key) => normal([1, 2, 64, 16], key));
    await v.data();
    const before = gpu.counts().dispatches;
    await attention(q, k, v, { causal: true }).data();
    const dispatches = gpu.counts().dispatches - before;
    if (software) expect(dispatches).toBeLessThanOrEqual(5);
    else expect(dispatches).toBe(1);
  });
});

test('what no binding holds is composed', async () => {
  const gpu = await webgpu({ ...anyAdapter, pretend: { maxBinding: 1024, software: true } });
  await check({ ...plain, ...square(3, 2), keys: 150, kvHeads: 2, causal: false }, gpu);
  gpu.close();
});
