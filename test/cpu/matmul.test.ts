import { cpu } from '@bax/cpu';
import type { Backend, DType, MatmulOptions, Storage, View } from '@bax/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bits, from, hostOf, indices, ints, layouts, make, place, plain, valuesOf } from './views.ts';
import type { Layout } from './views.ts';

const dtypes = ['f32', 'f64', 'i32'] as const;
/** Lengths around the edges of every tile and block in use. */
const edges = [1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 15, 16, 17, 31, 32, 33];

/** One element at a time, straight from the definition; sums of small integers are exact in any order. */
function naive(backend: Backend, a: View, b: View, before: number[], options: MatmulOptions): number[] {
  const [A, B] = [hostOf(backend, a), hostOf(backend, b)];
  const k = a.shape.at(-1)!;
  const [batch, m, n] = [a.shape.slice(0, -2), a.shape.at(-2)!, b.shape.at(-1)!];
  const [ak, bk] = [a.strides.at(-1)!, b.strides.at(-2)!];
  return Array.from(indices([...batch, m, n]), (index, i) => {
    const [lead, row, column] = [index.slice(0, -2), index.at(-2)!, index.at(-1)!];
    let [p, q, sum] = [place(a, [...lead, row, 0]), place(b, [...lead, 0, column]), 0];
    for (let x = 0; x < k; x++, p += ak, q += bk) sum += A[p] * B[q];
    return (options.scale ?? 1) * sum + (options.accumulate ? before[i] : 0);
  });
}

interface Case {
  type: DType;
  a: Layout;
  b: Layout;
  out: Layout;
  options: MatmulOptions;
}
function check({ type, a, b, out, options }: Case): void {
  const backend = cpu();
  const [va, vb, vo] = [
    make(backend, a, type, ints(1)),
    make(backend, b, type, ints(2)),
    make(backend, out, type, ints(3)),
  ];
  const before = valuesOf(backend, vo);
  const untouched = gaps(backend, vo);
  backend.matmul(va, vb, vo, options);
  expect(bits(valuesOf(backend, vo))).toEqual(bits(naive(backend, va, vb, before, options)));
  expect(gaps(backend, vo)).toEqual(untouched);
}

/** What lies between the elements of a view: nobody may write there. */
function gaps(backend: Backend, view: View): (number | undefined)[] {
  const rest: (number | undefined)[] = Array.from(hostOf(backend, view));
  for (const index of indices(view.shape)) rest[place(view, index)] = undefined;
  return rest;
}

const options: fc.Arbitrary<MatmulOptions> = fc.record(
  { scale: fc.constantFrom(1, 2, -3), accumulate: fc.boolean() },
  { requiredKeys: [] },
);
const cases = (length: fc.Arbitrary<number>, batch: fc.Arbitrary<number[]>): fc.Arbitrary<Case> =>
  fc.tuple(length, length, length, batch).chain(([m, k, n, lead]) =>
    fc.record({
      type: fc.constantFrom(...dtypes),
      a: layouts([...lead, m, k], true),
      b: layouts([...lead, k, n], true),
      out: layouts([...lead, m, n]),
      options,
    }),
  );

describe('matmul on small integers is exact', () => {
  it('for any strides, batch and options', () => {
    fc.assert(
      fc.property(cases(fc.integer({ min: 0, max: 9 }), fc.array(fc.nat(3), { maxLength: 2 })), check),
      { numRuns: 400 },
    );
  });

  it('at the edges of every tile', () => {
    fc.assert(fc.property(cases(fc.constantFrom(...edges), fc.constant([])), check), { numRuns: 300 });
  });

  // Blocks are 128 rows, 192 columns and 256 terms; tiles 2 x 3; the rows that are read in place go by four.
  it.each([
    [127, 3, 191],
    [128, 3, 192],
    [129, 3, 193],
    [257, 3, 385],
    [130, 258, 194],
    [4, 255, 5],
    [4, 256, 5],
    [4, 257, 5],
    [3, 511, 3],
    [5, 513, 4],
    [3, 4099, 5],
    [1, 8193, 1],
    [1, 300, 513],
    [2, 100, 515],
    [514, 300, 1],
    [513, 100, 2],
    [1030, 8, 3],
    [3, 8, 1030],
  ])('across blocks: %i x %i x %i', (m, k, n) => {
    for (const type of dtypes) {
      check({
        type,
        a: plain([m, k]),
        b: plain([k, n]),
        out: plain([m, n]),
        options: {},
      });
      const turned = (rows: number, columns: number): Layout => ({
        ...plain([rows, columns]),
        strides: [1, rows],
      });
      check({
        type,
        a: turned(m, k),
        b: turned(k, n),
        out: turned(m, n),
        options: { accumulate: true, scale: 2 },
      });
      check({
        type,
        a: plain([m, k]),
        b: turned(k, n),
        out: plain([m, n]),
        options: { accumulate: true },
      });
    }
  });

  it('with heads as a permuted view', () => {
    const [B, T, H, D] = [2, 33, 3, 8];
    const heads: Layout = {
      shape: [B, H, T, D],
      strides: [T * H * D, D, H * D, 1],
      offset: 0,
      length: B * T * H * D,
    };
    const turned: Layout = {
      ...heads,
      shape: [B, H, D, T],
      strides: [T * H * D, D, 1, H * D],
    };
    check({
      type: 'f32',
      a: heads,
      b: turned,
      out: plain([B, H, T, T]),
      options: { scale: 2 },
    });
    check({
      type: 'f32',
      a: plain([B, H, T, T]),
      b: heads,
      out: heads,
      options: {},
    });
  });

  it('gives zeros for k = 0, or leaves out as it was', () => {
    const backend = cpu();
    const [a, b] = [
      make(backend, plain([2, 0]), 'f32', () => 1),
      make(backend, plain([0, 3]), 'f32', () => 1),
    ];
    const out = make(backend, plain([2, 3]), 'f32', () => 7);
    backend.matmul(a, b, out, { accumulate: true });
    expect(valuesOf(backend, out)).toEqual([7, 7, 7, 7, 7, 7]);
    backend.matmul(a, b, out);
    expect(valuesOf(backend, out)).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it('wraps in i32', () => {
    const backend = cpu();
    const x = from(backend, [1, 2], Int32Array.of(0x7fffffff, 0x12345679), 'i32');
    const y = from(backend, [2, 1], Int32Array.of(0x7ffffff1, 0x76543211), 'i32');
    const out = make(backend, plain([1, 1]), 'i32', () => 0);
    backend.matmul(x, y, out);
    const exact = 0x7fffffffn * 0x7ffffff1n + 0x12345679n * 0x76543211n;
    expect(valuesOf(backend, out)).toEqual([Number(BigInt.asIntN(32, exact))]);
  });

  it.each([
    ['f16', [0x3c00, 0xc100, 0x0001, 0x7bff], [1, -2.5, 2 ** -24, 65504]],
    ['bf16', [0x3f80, 0xc020, 0x0080, 0x7f7f], [1, -2.5, 2 ** -126, 255 * 2 ** 120]],
    ['u8', [0, 1, 128, 255], [0, 1, 128, 255]],
  ] as [Storage, number[], number[]][])('reads %s weights', (type, raw, values) => {
    const backend = cpu();
    const w = make(backend, plain([2, 2]), type, (i) => raw[i]);
    const eye = from(backend, [2, 2], Float32Array.of(1, 0, 0, 1), 'f32');
    const out = make(backend, plain([2, 2]), 'f32', () => NaN);
    backend.matmul(w, eye, out);
    expect(valuesOf(backend, out)).toEqual(values);
    backend.matmul(eye, w, out);
    expect(valuesOf(backend, out)).toEqual(values);
  });
});

describe('matmul on real numbers', () => {
  const real =
    (seed: number) =>
    (i: number): number => {
      const u = ints(seed, 32767)(i);
      return (u / 32768) * 2 ** ints(seed + 9, 10)(i);
    };

  it.each([
    [5, 3, 7],
    [17, 300, 9],
    [1, 5000, 2],
    [40, 129, 40],
  ])('%i x %i x %i: f32 rounds once', (m, k, n) => {
    const backend = cpu();
    const a = make(backend, plain([m, k]), 'f32', real(1));
    const b = make(backend, plain([k, n]), 'f32', real(2));
    const [once, added] = [
      make(backend, plain([m, n]), 'f32', real(3)),
      make(backend, plain([m, n]), 'f32', real(3)),
    ];
    const before = valuesOf(backend, added);
    backend.matmul(a, b, once);
    backend.matmul(a, b, added, { accumulate: true, scale: 0.3 });
    const exact = naive(backend, a, b, [], {});
    const size = magnitudes(backend, a, b);
    const u64 = 2 * (k + 4) * 2 ** -53;
    valuesOf(backend, once).forEach((y, i) => {
      expect(Math.abs(y - exact[i])).toBeLessThanOrEqual(Math.abs(exact[i]) * 2 ** -24 + u64 * size[i]);
    });
    valuesOf(backend, added).forEach((y, i) => {
      const want = before[i] + 0.3 * exact[i];
      expect(Math.abs(y - want)).toBeLessThanOrEqual(
        Math.abs(want) * 2 ** -24 + u64 * (size[i] + Math.abs(before[i])),
      );
    });
  });

  it('f64 stays within γ', () => {
    const backend = cpu();
    const [m, k, n] = [3, 4100, 5];
    const a = make(backend, plain([m, k]), 'f64', real(1));
    const b = make(backend, plain([k, n]), 'f64', real(2));
    const out = make(backend, plain([m, n]), 'f64', () => NaN);
    backend.matmul(a, b, out);
    const exact = naive(backend, a, b, [], {});
    const size = magnitudes(backend, a, b);
    valuesOf(backend, out).forEach((y, i) => {
      expect(Math.abs(y - exact[i])).toBeLessThanOrEqual(2 * k * 2 ** -53 * size[i]);
    });
  });

  it('keeps a NaN or an infinity to its own row and column', () => {
    const backend = cpu();
    for (const bad of [NaN, Infinity]) {
      const a = make(backend, plain([9, 6]), 'f32', (i) => (i === 3 * 6 + 2 ? bad : 1));
      const b = make(backend, plain([6, 7]), 'f32', () => 1);
      const out = make(backend, plain([9, 7]), 'f32', () => 0);
      backend.matmul(a, b, out);
      expect(valuesOf(backend, out)).toEqual(
        Array.from({ length: 63 }, (_, i) => (Math.floor(i / 7) === 3 ? bad : 6)),
      );
    }
  });
});

/** Σ |a| |b|. */
function magnitudes(backend: Backend, a: View, b: View): number[] {
  const absolute = (view: View): View => {
    const data = hostOf(backend, view).map(Math.abs);
    return from(backend, view.shape, data, view.buffer.type);
  };
  return naive(backend, absolute(a), absolute(b), [], {});
}
