import { type DType, expr, type MatmulOptions, type Storage } from '@bax/core';
import fc from 'fast-check';
import type { Check } from '../run.ts';
import { type Block, check, type Lab, set } from './lab.ts';
import { decode, ints, intsFor, reals } from './numbers.ts';
import { product } from './product.ts';
import { EDGES, plain, spaced, type Strided, strided, turned } from './strided.ts';

interface Case {
  readonly a: Strided;
  readonly b: Strided;
  readonly out: Strided;
  readonly type: DType;
  /** What a and b are stored as, where it is not `type`. */
  readonly storage?: readonly [Storage, Storage];
  readonly options?: MatmulOptions;
  readonly real?: boolean;
}

async function run(
  lab: Lab,
  { a, b, out, type, storage = [type, type], options = {}, real = false }: Case,
): Promise<void> {
  const value = (stored: Storage, seed: number): ((i: number) => number) =>
    real ? reals(seed) : intsFor(stored, seed);
  const x = lab.input('a', a, storage[0], value(storage[0], 1));
  const y = lab.input('b', b, storage[1], value(storage[1], 2));
  const result = lab.output('out', out, type, options.accumulate ? value(type, 3) : undefined);
  product(lab, x, y, result, options, real);
  lab.backend.matmul(x.view, y.view, result.view, options);
  await lab.expect(x, y, result);
}

const options: fc.Arbitrary<MatmulOptions> = fc.record(
  { scale: fc.constantFrom(1, 2, -3), accumulate: fc.boolean() },
  { requiredKeys: [] },
);

function cases(
  lab: Lab,
  sizes: fc.Arbitrary<readonly [m: number, k: number, n: number]>,
  batch: fc.Arbitrary<number[]>,
): fc.Arbitrary<Case> {
  const storage = fc.constantFrom<Storage>('f32', 'f32', 'f32', 'f16', 'bf16', 'u8');
  return fc.tuple(sizes, batch, fc.constantFrom(...lab.dtypes)).chain(([[m, k, n], lead, type]) =>
    fc.record({
      type: fc.constant(type),
      a: strided([...lead, m, k], true),
      b: strided([...lead, k, n], true),
      out: strided([...lead, m, n]),
      storage: type === 'f32' ? fc.tuple(storage, storage) : fc.constant([type, type] as const),
      options,
    }),
  );
}

const among = (...list: number[]): fc.Arbitrary<number> => fc.constantFrom(...list);
/** Three lengths at the edges of tiles; what is computed stays small. */
const edges = fc
  .tuple(among(...EDGES), among(...EDGES), among(...EDGES))
  .filter(([m, k, n]) => m * k * n <= 150_000);

/** m, k, n: blocks of any backend, more terms than one block has, one row, one column, and work for all threads. */
const blocks: [number, number, number][] = [
  [127, 3, 191], [128, 3, 193], [257, 3, 385], [65, 129, 130],
  [4, 255, 5], [4, 256, 5], [4, 257, 5], [3, 511, 3], [17, 512, 18], [5, 513, 4], [3, 1025, 7],
  [3, 4099, 5], [1, 8193, 1], [1, 300, 513], [2, 100, 515], [514, 300, 1], [513, 100, 2], [1030, 8, 3], [3, 8, 1030],
  [129, 130, 131],
]; // prettier-ignore

/** Bit patterns and what they stand for: every kind of number that a weight has. */
const patterns: [Storage, number[]][] = [
  ['f16', [0x3c00, 0xc100, 0x0001, 0x7bff]],
  ['bf16', [0x3f80, 0xc020, 0x0080, 0x7f7f]],
  ['u8', [0, 1, 128, 255]],
  ['u32', [0, 1, 65536, 2 ** 24]],
];

export const matmulChecks: readonly Check[] = [
  check('matmul: any strides, storage, batch and options, bits on integers (P31)', async (lab) => {
    const length = fc.integer({ min: 0, max: 9 });
    const batch = fc.array(fc.nat(3), { maxLength: 2 });
    await lab.forAll(400, cases(lab, fc.tuple(length, length, length), batch), async (x) => run(lab, x));
  }),

  check('matmul: every size, clean memory (P45)', async (lab) => {
    await lab.forAll(250, cases(lab, edges, fc.constantFrom<number[]>([], [], [2])), async (x) =>
      run(lab, x),
    );
  }),

  check('matmul: across blocks, either factor transposed (P45)', async (lab) => {
    await lab.forEach(blocks, async ([m, k, n]) => {
      const large = m * k * n > 300_000;
      for (const type of large ? lab.having('f32') : lab.dtypes) {
        const turns: Case[] = [
          { type, a: plain([m, k]), b: plain([k, n]), out: plain([m, n]) },
          {
            type,
            a: turned([m, k]),
            b: turned([k, n]),
            out: turned([m, n]),
            options: { accumulate: true, scale: 2 },
          },
          {
            type,
            a: plain([m, k]),
            b: turned([k, n]),
            out: spaced([m, n], 1),
            options: { accumulate: true },
          },
          { type, a: turned([m, k]), b: plain([k, n]), out: spaced([m, n], 2), options: { scale: -1 } },
        ];
        for (const x of large ? turns.slice(0, 2) : turns) await run(lab, x);
        lab.freeAll();
      }
    });
  }),

  check('matmul: work for all threads, again and again (P45, P55)', async (lab) => {
    const [m, k, n] = [257, 130, 259];
    const x = lab.input('a', plain([m, k]), 'f32', ints(1));
    const y = lab.input('b', plain([k, n]), 'f32', ints(2));
    const results = Array.from({ length: 12 }, () => lab.output('out', spaced([m, n], 1), 'f32'));
    product(lab, x, y, results[0], {}, false);
    for (const { data } of results) data.set(results[0].data);
    for (const { view } of results) lab.backend.matmul(x.view, y.view, view);
    await lab.expect(...results);
  }),

  check(
    'matmul: one factor for the whole batch, one row for all, heads as a permuted view (P31)',
    async (lab) => {
      const [B, T, H, D] = [2, 33, 3, 8];
      const heads: Strided = { ...plain([B, H, T, D]), strides: [T * H * D, D, H * D, 1] };
      const keys: Strided = { ...heads, shape: [B, H, D, T], strides: [T * H * D, D, 1, H * D] };
      /** The same for each of the batch. */
      const shared = (shape: readonly number[], at: Strided): Strided => ({
        ...at,
        shape,
        strides: [...shape.slice(0, -2).map(() => 0), ...at.strides],
      });
      const list: Omit<Case, 'type'>[] = [
        { a: heads, b: keys, out: plain([B, H, T, T]), options: { scale: 2 } },
        { a: plain([B, H, T, T]), b: heads, out: heads },
        { a: plain([5, 7, 33]), b: shared([5, 33, 18], plain([33, 18])), out: plain([5, 7, 18]) },
        {
          a: plain([5, 7, 33]),
          b: shared([5, 33, 18], turned([33, 18])),
          out: spaced([5, 7, 18], 1),
          options: { accumulate: true },
        },
        {
          a: shared([3, 2, 17, 9], plain([17, 9])),
          b: plain([3, 2, 9, 17]),
          out: plain([3, 2, 17, 17]),
          options: { scale: -3 },
        },
        {
          a: plain([40, 1, 12]),
          b: plain([40, 12, 1]),
          out: plain([40, 1, 1]),
          options: { accumulate: true },
        },
        {
          a: { ...plain([4, 6]), strides: [0, 1], length: 6 },
          b: { ...plain([6, 5]), strides: [1, 0], length: 6 },
          out: plain([4, 5]),
        },
      ];
      await lab.forEach(
        lab.dtypes.flatMap((type) => list.map((x): Case => ({ type, ...x }))),
        async (x) => run(lab, x),
      );
    },
  ),

  check('matmul: k = 0 gives zeros, or leaves out as it was', async (lab) => {
    for (const type of lab.dtypes) {
      for (const accumulate of [false, true])
        await run(lab, {
          type,
          a: plain([2, 0]),
          b: plain([0, 3]),
          out: spaced([2, 3], 1),
          options: { accumulate },
        });
      await run(lab, { type, a: plain([0, 4]), b: plain([4, 3]), out: plain([0, 3]) });
    }
  }),

  check('matmul: i32 wraps', async (lab) => {
    const x = lab.input('a', plain([1, 2]), 'i32', (i) => [0x7fffffff, 0x12345679][i]);
    const y = lab.input('b', plain([2, 1]), 'i32', (i) => [0x7ffffff1, 0x76543211][i]);
    const out = lab.output('out', plain([1, 1]), 'i32');
    set(out, 0, Number(BigInt.asIntN(32, 0x7fffffffn * 0x7ffffff1n + 0x12345679n * 0x76543211n)));
    lab.backend.matmul(x.view, y.view, out.view);
    await lab.expect(out);
  }),

  check('matmul: reads f16, bf16, u8 and u32', async (lab) => {
    await lab.forEach(patterns, async ([type, raw]) => {
      // Subnormal halves are normal f32 numbers.
      const w = lab.raw('w', plain([2, 2]), type, (i) => raw[i], () => 0); // prettier-ignore
      const eye = lab.input('identity', plain([2, 2]), 'f32', (i) => (i % 3 === 0 ? 1 : 0));
      for (const [a, b] of [[w, eye], [eye, w]]) {
        const out = lab.output('out', plain([2, 2]), 'f32');
        raw.forEach((bits, i) => set(out, i, decode(type, bits)));
        lab.backend.matmul(a.view, b.view, out.view);
        await lab.expect(out);
      }
    });
  }), // prettier-ignore

  check('matmul: real numbers within γ (P31)', async (lab) => {
    const sizes = [[5, 3, 7], [17, 300, 9], [1, 5000, 2], [40, 129, 40], [66, 33, 65]]; // prettier-ignore
    await lab.forEach(sizes, async ([m, k, n]) => {
      for (const type of lab.having('f32', 'f64')) {
        const shape = { a: plain([m, k]), b: plain([k, n]), out: plain([m, n]), type, real: true };
        await run(lab, shape);
        await run(lab, { ...shape, b: turned([k, n]), options: { accumulate: true, scale: 0.3 } });
      }
    });
  }),

  check('matmul: a NaN or an infinity keeps to its own row and column (P54)', async (lab) => {
    if (!lab.ieee) return;
    for (const bad of [NaN, Infinity]) {
      for (const k of [6, 40]) {
        const a = lab.input('a', plain([9, k]), 'f32', (i) => (i === 3 * k + 2 ? bad : 1));
        const b = lab.input('b', plain([k, 7]), 'f32', () => 1);
        const [row, column] = [
          lab.output('a b', plain([9, 7]), 'f32'),
          lab.output('bᵀ aᵀ', plain([7, 9]), 'f32'),
        ];
        row.data.forEach((_, i) => set(row, i, Math.floor(i / 7) === 3 ? bad : k));
        column.data.forEach((_, i) => set(column, i, i % 9 === 3 ? bad : k));
        const flip = ({ view, at }: Block): Block['view'] => ({
          ...view,
          shape: at.shape.toReversed(),
          strides: at.strides.toReversed(),
        });
        lab.backend.matmul(a.view, b.view, row.view);
        lab.backend.matmul(flip(b), flip(a), column.view);
        await lab.expect(row, column);
      }
    }
  }),

  check('matmul: sees what was done to its factors since it last read them', async (lab) => {
    const [m, k, n] = [20, 33, 18];
    const a = lab.input('a', plain([m, k]), 'f32', ints(1));
    const b = lab.output('b', plain([k, n]), 'f32', ints(2));
    const again = async (): Promise<void> => {
      for (let i = 0; i < 3; i++) {
        const out = lab.output('out', plain([m, n]), 'f32');
        product(lab, a, b, out, {}, false);
        lab.backend.matmul(a.view, b.view, out.view);
        await lab.expect(out);
      }
    };
    await again();
    const { backend } = lab;
    const source = lab.input('source', plain([k, n]), 'f32', ints(5));
    const square = lab.input('square', plain([k, k]), 'f32', ints(6, 1));
    const index = lab.input('index', plain([k]), 'i32', (i) => (7 * i) % k);
    const increment = expr.scalarFn('f32', 1, 0, [expr.add(expr.input(0), 1)]);
    const changes: (() => void)[] = [
      () => backend.write(b.view.buffer, Float32Array.of(7), 5),
      () => backend.map(increment, [b.view], [b.view], []),
      () => backend.reduce('sum', source.view, { ...b.view, shape: [1, n] }),
      () => backend.scatterAdd(index.view, source.view, b.view),
      () => backend.gather(source.view, index.view, b.view),
      () => backend.matmul(square.view, source.view, b.view),
    ];
    for (const change of changes) {
      change();
      b.data.set(await backend.read(b.view.buffer));
      await again();
    }
  }),
];
