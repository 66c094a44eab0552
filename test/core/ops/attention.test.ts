import { assertSameBits, assertWithin } from '@bax/check';
import {
  arange, attention, type AttentionOptions, concat, dropoutMask, expand, foldIn, grad, key, matmul, mul, ones, permute, randn, reshape, setBackend,
  slice, softmax, sum, type Tensor, tensor, transpose, zeros,
} from '@bax/core'; // prettier-ignore
import { cpu } from '@bax/cpu';
import { beforeEach, describe, expect, test } from 'vitest';
import { failures } from '../../support/failures.ts';

beforeEach(() => setBackend(cpu()));
const f64 = { dtype: 'f64' } as const;
const list = (t: Tensor): number[] => [...t.peek()!];
const normal = (shape: number[], seed: number): Tensor => randn(shape, { key: seed, ...f64 });
const mask = (values: number[], shape: number[] = [values.length]): Tensor =>
  tensor(values, { dtype: 'i32', shape });

describe('errors', () => {
  const [q, k] = [(): Tensor => ones([2, 4, 3, 8]), (): Tensor => ones([2, 2, 5, 8])];
  failures([
    [
      'attention: needs [batch, heads, time, depth]: q [3, 8], k [2, 2, 5, 8], v [2, 2, 5, 8]',
      () => attention(ones([3, 8]), k(), k()),
    ],
    [
      'attention: batch, key time or depth differ: q [2, 4, 3, 8], k [2, 2, 5, 7], v [2, 2, 5, 7]',
      () => attention(q(), ones([2, 2, 5, 7]), ones([2, 2, 5, 7])),
    ],
    [
      'attention: batch, key time or depth differ: q [2, 4, 3, 8], k [2, 2, 5, 8], v [2, 2, 6, 8]',
      () => attention(q(), k(), ones([2, 2, 6, 8])),
    ],
    [
      'attention: 4 query heads are not a multiple of 3 key heads: q [2, 4, 3, 8], k [2, 3, 5, 8], v [2, 3, 5, 8]',
      () => attention(q(), ones([2, 3, 5, 8]), ones([2, 3, 5, 8])),
    ],
    [
      'attention: causal needs at least as many keys as queries: q [2, 4, 3, 8], k [2, 2, 2, 8], v [2, 2, 2, 8]',
      () => attention(q(), ones([2, 2, 2, 8]), ones([2, 2, 2, 8]), { causal: true }),
    ],
    [
      "attention: mask is f32, not i32; indices are integers: mask.cast('i32')",
      () => attention(q(), k(), k(), { mask: ones([3, 5]) }),
    ],
    [
      'attention: mask [4] does not broadcast to [2, 4, 3, 5]',
      () => attention(q(), k(), k(), { mask: mask([1, 1, 1, 1]) }),
    ],
    [
      'attention: mask [1, 1, 1, 3, 5] does not broadcast to [2, 4, 3, 5]',
      () => attention(q(), k(), k(), { mask: reshape(arange(15), [1, 1, 1, 3, 5]) }),
    ],
    [
      'attention: bias [2, 3, 5] does not broadcast to [2, 4, 3, 5]',
      () => attention(q(), k(), k(), { bias: ones([2, 3, 5]) }),
    ],
    [
      'attention: dtypes differ: f32 [2, 4, 3, 8] and f64 [2, 2, 5, 8]; cast one of them',
      () => attention(q(), ones([2, 2, 5, 8], f64), k()),
    ],
    [
      "attention: x is i32; cast it first: x.cast('f32')",
      () => attention(reshape(arange(1), [1, 1, 1, 1]), ones([1, 1, 1, 1]), ones([1, 1, 1, 1])),
    ],
  ]);
});

describe('P36: fixed points', () => {
  test('Q = K = 0, causal: row i is the mean of v_0 … v_i', () => {
    const v = normal([1, 1, 5, 3], 1);
    const y = list(attention(zeros([1, 1, 5, 2], f64), zeros([1, 1, 5, 2], f64), v, { causal: true }));
    const want: number[] = [];
    for (let i = 0; i < 5; i++) for (let d = 0; d < 3; d++) want.push(list(v).filter((_, j) => j % 3 === d && j / 3 < i + 1).reduce((a, b) => a + b, 0) / (i + 1)); // prettier-ignore
    assertWithin(y, want, 1e-15, 'means');
  });

  test('one key: the result is v', () => {
    const [q, k, v] = [normal([2, 2, 1, 3], 1), normal([2, 2, 1, 3], 2), normal([2, 2, 1, 3], 3)];
    assertSameBits(list(attention(q, k, v)), list(v), 'v');
    assertSameBits(list(attention(q, k, v, { causal: true })), list(v), 'v, causal');
  });

  test('two keys: p₁ = σ((q·k₁ − q·k₂) / √d)', () => {
    const [q, k] = [normal([1, 1, 1, 5], 1), normal([1, 1, 2, 5], 2)];
    const [Q, K] = [list(q), list(k)];
    const difference = Q.reduce((s, x, i) => s + x * (K[i] - K[5 + i]), 0) / Math.sqrt(5);
    const p = 1 / (1 + Math.exp(-difference));
    assertWithin(list(attention(q, k, tensor([[[[1, 0], [0, 1]]]], f64))), [p, 1 - p], 1e-15, 'weights'); // prettier-ignore
  });
});

/** One query at a time, one head at a time, straight from the definition. */
function naive(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  look: (b: number, h: number, i: number, j: number) => boolean,
  scale = 1 / Math.sqrt(q.shape[3]),
): number[] {
  const [B, H, Tq, D] = q.shape;
  const [, Hkv, Tk, Dv] = v.shape;
  const [Q, K, V] = [list(q), list(k), list(v)];
  const out: number[] = [];
  for (let b = 0; b < B; b++)
    for (let h = 0; h < H; h++)
      for (let i = 0; i < Tq; i++) {
        // prettier-ignore
        const group = Math.floor(h / (H / Hkv));
        const at = (j: number, depth: number): number => ((b * Hkv + group) * Tk + j) * depth;
        const scores = Array.from({ length: Tk }, (_, j) => {
          let s = 0;
          for (let d = 0; d < D; d++) s += Q[((b * H + h) * Tq + i) * D + d] * K[at(j, D) + d];
          return look(b, h, i, j) ? s * scale : -Infinity;
        });
        const top = Math.max(...scores);
        const e = scores.map((s) => Math.exp(s - top));
        const z = e.reduce((a, x) => a + x, 0);
        for (let d = 0; d < Dv; d++) out.push(e.reduce((a, x, j) => a + (x / z) * V[at(j, Dv) + d], 0));
      }
  return out;
}

describe('P36: against the definition', () => {
  const [B, H, Hkv, Tq, Tk, D, Dv] = [2, 4, 2, 3, 5, 4, 3];
  const make = (): [Tensor, Tensor, Tensor] => [
    normal([B, H, Tq, D], 1),
    normal([B, Hkv, Tk, D], 2),
    normal([B, Hkv, Tk, Dv], 3),
  ];
  const bit = (i: number): number => (i % 3 === 1 ? 0 : 1);

  const cases: Record<string, [() => AttentionOptions, (b: number, h: number, i: number, j: number) => boolean]> = {
    plain: [() => ({}), () => true],
    'causal, aligned at the end: the last query sees every key, the diagonal is in': [() => ({ causal: true }), (_b, _h, i, j) => j <= i + Tk - Tq],
    'a mask over keys': [() => ({ mask: mask([1, 0, 1, 1, 0]) }), (_b, _h, _i, j) => [1, 0, 1, 1, 0][j] === 1],
    'a mask over queries and keys': [
      () => ({ mask: mask(Array.from({ length: Tq * Tk }, (_, i) => bit(i)), [Tq, Tk]) }),
      (_b, _h, i, j) => bit(i * Tk + j) === 1,
    ],
    'a mask for each head': [
      () => ({ mask: mask(Array.from({ length: H * Tk }, (_, i) => bit(i)), [H, 1, Tk]) }),
      (_b, h, _i, j) => bit(h * Tk + j) === 1,
    ],
    'a mask for each batch': [
      () => ({ mask: mask(Array.from({ length: B * Tk }, (_, i) => bit(i)), [B, 1, 1, Tk]) }),
      (b, _h, _i, j) => bit(b * Tk + j) === 1,
    ],
    'a mask for each batch and head, and causal': [
      () => ({ causal: true, mask: mask(Array.from({ length: B * H * Tk }, (_, i) => (i % Tk === 0 ? 1 : bit(i))), [B, H, 1, Tk]) }),
      (b, h, i, j) => j <= i + Tk - Tq && (j === 0 || bit((b * H + h) * Tk + j) === 1),
    ],
  }; // prettier-ignore
  test.each(Object.entries(cases))('%s', (_, [options, look]) => {
    const [q, k, v] = make();
    assertWithin(list(attention(q, k, v, options())), naive(q, k, v, look), 1e-14, 'attention');
    // A bias of zero takes the other path.
    assertWithin(
      list(attention(q, k, v, { ...options(), bias: zeros([1], f64) })),
      naive(q, k, v, look),
      1e-14,
      'composed',
    );
  });

  test('scale', () => {
    const [q, k, v] = make();
    assertWithin(list(attention(q, k, v, { scale: 0.3 })), naive(q, k, v, () => true, 0.3), 1e-14, 'scaled'); // prettier-ignore
  });

  test('heads as views of [B, T, H, D], as models hold them', () => {
    const heads = (n: number, t: number, seed: number): Tensor =>
      permute(normal([B, t, n, D], seed), [0, 2, 1, 3]);
    const [q, k, v] = [heads(H, Tq, 1), heads(Hkv, Tk, 2), heads(Hkv, Tk, 3)];
    assertWithin(list(attention(q, k, v, { causal: true })), naive(q, k, v, (_b, _h, i, j) => j <= i + Tk - Tq), 1e-14, 'views'); // prettier-ignore
  });

  test('a bias is added to the scaled scores; it broadcasts, and it may be tracked', () => {
    const [q, k] = make();
    const v = expand(reshape(arange(Tk * Tk, f64), [Tk, Tk]), [B, Hkv, Tk, Tk]);
    const bias = normal([H, Tq, Tk], 4);
    bias.requiresGrad = true;
    const y = attention(q, k, v, { bias });
    const scores = mul(
      matmul(reshape(q, [B, Hkv, 2, Tq, D]), transpose(reshape(k, [B, Hkv, 1, Tk, D]))),
      1 / Math.sqrt(D),
    );
    const p = softmax(reshape(scores, [B, H, Tq, Tk]).add(bias));
    const want = matmul(p, expand(reshape(arange(Tk * Tk, f64), [Tk, Tk]), [B, H, Tk, Tk]));
    assertWithin(list(y), list(want), 1e-13, 'with bias');
    const [ours, theirs] = [grad(sum(mul(y, y)), [bias])[0], grad(sum(mul(want, want)), [bias])[0]];
    assertWithin(list(ours), list(theirs), 1e-10, '∂bias');
  });
});

test('a query all of whose keys are hidden gives the mean of v, and no gradient to q and k', () => {
  const [q, k, v] = [normal([1, 1, 2, 3], 1), normal([1, 1, 3, 3], 2), normal([1, 1, 3, 2], 3)];
  for (const t of [q, k, v]) t.requiresGrad = true;
  const y = attention(q, k, v, { mask: mask([0, 0, 0, 1, 1, 1], [2, 3]) });
  const V = list(v);
  assertWithin(list(y).slice(0, 2), [(V[0] + V[2] + V[4]) / 3, (V[1] + V[3] + V[5]) / 3], 1e-15, 'mean');
  const [dq, dk] = grad(sum(slice(mul(y, y), 2, 0, 1)), [q, k]);
  expect([...list(dq), ...list(dk)].every((g) => g === 0)).toBe(true);
});

test('P35: cached = uncached, at every split', () => {
  const [q, k, v] = [normal([1, 2, 6, 4], 1), normal([1, 2, 6, 4], 2), normal([1, 2, 6, 4], 3)];
  const whole = list(attention(q, k, v, { causal: true }));
  for (let n = 1; n < 6; n++) {
    const first = (t: Tensor): Tensor => slice(t, 2, 0, n);
    const parts = [
      attention(first(q), first(k), first(v), { causal: true }),
      attention(slice(q, 2, n), k, v, { causal: true }),
    ];
    assertWithin(list(concat(parts, 2)), whole, 1e-14, `split at ${n}`);
  }
});

test('P35: a later token changes no earlier row, and its own row', () => {
  const [q, k, v] = [normal([1, 1, 5, 4], 1), normal([1, 1, 5, 4], 2), normal([1, 1, 5, 4], 3)];
  const before = list(attention(q, k, v, { causal: true }));
  for (let t = 0; t < 5; t++) {
    const moved = (x: Tensor): Tensor =>
      tensor(
        Float64Array.from(list(x), (value, i) => (Math.floor(i / 4) === t ? value + 1 : value)),
        { shape: x.shape },
      );
    const after = list(attention(moved(q), moved(k), moved(v), { causal: true }));
    assertSameBits(after.slice(0, 4 * t), before.slice(0, 4 * t), `rows before ${t}`);
    expect(after.slice(4 * t, 4 * t + 4).some((x, i) => x !== before[4 * t + i])).toBe(true);
  }
});

test('dropout acts on the weights, by its key', () => {
  const [q, k] = [normal([1, 2, 3, 4], 1), normal([1, 2, 3, 4], 2)];
  const v = expand(reshape(tensor([1, 0, 0, 0, 1, 0, 0, 0, 1], f64), [1, 1, 3, 3]), [1, 2, 3, 3]);
  const drop = { p: 0.5, key: foldIn(key(1), 'attn') };
  const p = attention(q, k, v);
  const kept = dropoutMask(reshape(p, [1, 2, 1, 3, 3]), 0.5, drop.key);
  assertWithin(
    list(attention(q, k, v, { dropout: drop })),
    list(mul(mul(p, 2), kept.cast('f64').reshape([1, 2, 3, 3]))),
    1e-15,
    'dropped',
  );
  assertSameBits(list(attention(q, k, v, { dropout: { ...drop, p: 0 } })), list(p), 'p = 0');
});
