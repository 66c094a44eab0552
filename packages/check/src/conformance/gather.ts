import type { DType, Storage } from '@bax/core';
import fc from 'fast-check';
import { gamma } from '../bounds.ts';
import { CheckError, messageOf } from '../errors.ts';
import type { Check } from '../run.ts';
import { type Block, check, type Lab, set } from './lab.ts';
import { decode, ints, intsFor, reals, round, roundoffOf } from './numbers.ts';
import { EDGES, place, places, plain, shapes, spaced, type Strided, strided } from './strided.ts';

interface Case {
  readonly type: DType;
  /** What a gathered table is stored as. */
  readonly storage: Storage;
  readonly table: Strided;
  readonly index: Strided;
  /** The result of gather, the rows of scatterAdd. */
  readonly rows: Strided;
}

const cases = (lab: Lab, repeats: boolean): fc.Arbitrary<Case> =>
  fc
    .tuple(
      fc.integer({ min: 1, max: 5 }),
      shapes(2, 4, 0),
      fc.oneof(shapes(2, 4, 0), fc.constantFrom([31], [33], [3, 40], [65])),
      fc.constantFrom(...lab.dtypes),
      fc.constantFrom<Storage>('f16', 'bf16', 'u8', 'u32', ...lab.dtypes),
    )
    .chain(([count, at, rest, type, narrow]) =>
      fc.record({
        type: fc.constant(type),
        storage: fc.constant(type === 'f32' && !lab.dtypes.includes(narrow as DType) ? narrow : type),
        table: strided([count, ...rest], repeats),
        index: strided(at, true),
        rows: strided([...at, ...rest]),
      }),
    );

const indexOf = (lab: Lab, at: Strided, rows: number): Block =>
  lab.input('index', at, 'i32', (i) => Math.abs(ints(5, 999)(i)) % rows);

/** The place of each element of `rows`, and the place in the table that its index names. */
function pairs(table: Block, index: Block, rows: Block): { inRows: Int32Array; inTable: Int32Array } {
  const { shape, strides } = table.at;
  const inRow = places({ ...table.at, shape: shape.slice(1), strides: strides.slice(1) });
  const inRows = places(rows.at);
  const inTable = new Int32Array(inRows.length);
  places(index.at).forEach((p, i) => {
    for (let j = 0; j < inRow.length; j++)
      inTable[i * inRow.length + j] = inRow[j] + index.data[p] * strides[0];
  });
  return { inRows, inTable };
}

async function gather(lab: Lab, { type, storage, table, index, rows }: Case): Promise<void> {
  const x = lab.input('table', table, storage, intsFor(storage, 1, 60));
  const i = indexOf(lab, index, table.shape[0]);
  const out = lab.output('out', rows, type);
  const values = lab.values(x);
  const { inRows, inTable } = pairs(x, i, out);
  inRows.forEach((p, e) => set(out, p, values[inTable[e]]));
  lab.backend.gather(x.view, i.view, out.view);
  await lab.expect(x, i, out);
}

async function scatterAdd(lab: Lab, { type, table, index, rows }: Case, real = false): Promise<void> {
  const x = lab.output('table', table, type, real ? reals(1) : ints(1));
  const i = indexOf(lab, index, table.shape[0]);
  const g = lab.input('rows', rows, type, real ? reals(2) : ints(2));
  const sizes = x.data.map((v) => Math.abs(v));
  const { inRows, inTable } = pairs(x, i, g);
  inRows.forEach((from, e) => {
    const [to, v] = [inTable[e], g.data[from]];
    set(x, to, type === 'i32' ? (x.data[to] + v) | 0 : x.data[to] + v);
    sizes[to] += Math.abs(v);
  });
  const count = index.shape.reduce((n, length) => n * length, 1);
  const bound = real ? gamma(count + 1, roundoffOf(type, lab.u)) * 2 : 0; // twice: the oracle is f64, too
  x.data.forEach((v, p) => set(x, p, round[type](v), bound * sizes[p]));
  lab.backend.scatterAdd(i.view, g.view, x.view);
  await lab.expect(x, i, g);
}

/** Rows of every width, and more of them than a block has. */
const sizes: [rows: number, count: number, width: number][] = [
  ...EDGES.map((width): [number, number, number] => [5, 7, width]),
  ...EDGES.map((count): [number, number, number] => [count, 2 * count + 1, 3]),
  [3, 4099, 2], [2, 1, 4097], [1000, 1030, 70], [70_001, 66_000, 1], [60, 16_200, 130],
]; // prettier-ignore

const patterns: [Storage, number[]][] = [
  ['f16', [0x3c00, 0xc000, 0x0001]],
  ['bf16', [0x3f80, 0xc000, 0x0080]],
  ['u8', [1, 200, 3]],
  ['u32', [1, 200, 2 ** 24]],
];

export const gatherChecks: readonly Check[] = [
  check('gather: rows of any views, bits (P31)', async (lab) => {
    await lab.forAll(300, cases(lab, true), async (x) => gather(lab, x));
  }),

  check('gather: every size, clean memory (P45)', async (lab) => {
    await lab.forEach(sizes, async ([rows, count, width]) => {
      for (const type of count * width > 20_000 ? lab.having('f32') : lab.dtypes) {
        const [table, index] = [plain([rows, width]), plain([count])];
        await gather(lab, { type, storage: type, table, index, rows: spaced([count, width], 1) });
        await gather(lab, {
          type,
          storage: type,
          table: spaced([rows, width], 2),
          index,
          rows: spaced([count, width], 2),
        });
      }
    });
  }),

  check('gather: reads f16, bf16, u8 and u32', async (lab) => {
    await lab.forEach(patterns, async ([type, raw]) => {
      for (const width of [1, 2, 40]) {
        const of = (i: number): number => raw[Math.floor(i / width)];
        const table = lab.raw('table', plain([3, width]), type, of, () => 0);
        const index = lab.input('index', plain([4]), 'i32', (i) => [2, 0, 1, 2][i]);
        const out = lab.output('out', spaced([4, width], 1), 'f32');
        const { inRows, inTable } = pairs(table, index, out);
        inRows.forEach((p, e) => set(out, p, decode(type, table.data[inTable[e]])));
        lab.backend.gather(table.view, index.view, out.view);
        await lab.expect(table, out);
      }
    });
  }),

  check('gather, scatterAdd: refuse an index outside the table, and name it', async (lab) => {
    await lab.forEach([1030, 1024, -1], async (bad) => {
      const table = lab.output('table', spaced([1024, 2], 1), 'f32', ints(1));
      const rows = lab.output('rows', spaced([5, 2], 1), 'f32', ints(2));
      const index = lab.input('index', spaced([5], 2, 0, 0), 'i32', (i) => (i === 6 ? bad : i / 2));
      const calls = {
        gather: () => lab.backend.gather(table.view, index.view, rows.view),
        scatterAdd: () => lab.backend.scatterAdd(index.view, rows.view, table.view),
      };
      for (const [op, call] of Object.entries(calls)) {
        let message: string | undefined;
        try {
          call();
          await lab.backend.read(rows.view.buffer); // a device that computes later says so when it is read
        } catch (error) {
          message = messageOf(error);
        }
        const expected = `${op}: index ${bad} at position 3 is outside the table's 1024 rows`;
        if (message !== expected)
          throw new CheckError(
            `${op}: ${message === undefined ? 'no error' : `'${message}'`}, expected '${expected}'`,
          );
        // Rows that valid indices name may have been done; nothing else may have changed.
        const changed = op === 'gather' ? rows : table;
        for (const i of [0, 1, 2, 4, 3].flatMap((row) =>
          [0, 1].map((column) => place(changed.at, [row, column])),
        ))
          changed.allowed[i] = Infinity;
        await lab.expect(table, rows, index);
      }
    });
  }),

  check('scatterAdd: into any views, repeated indices too, bits on integers (P31)', async (lab) => {
    await lab.forAll(300, cases(lab, false), async (x) => scatterAdd(lab, x));
  }),

  check('scatterAdd: every size, clean memory (P45)', async (lab) => {
    await lab.forEach(sizes, async ([rows, count, width]) => {
      for (const type of count * width > 20_000 ? lab.having('f32') : lab.dtypes) {
        const [table, index] = [spaced([rows, width], 1), plain([count])];
        await scatterAdd(lab, { type, storage: type, table, index, rows: plain([count, width]) });
        await scatterAdd(lab, {
          type,
          storage: type,
          table: plain([rows, width]),
          index,
          rows: spaced([count, width], 2),
        });
      }
    });
  }),

  check('scatterAdd: in the order of the indices', async (lab) => {
    const big = 2 ** 24;
    for (const width of [1, 5, 70]) {
      const table = lab.output('table', plain([2, width]), 'f32', () => 0);
      const index = lab.input('index', plain([6]), 'i32', (i) => i % 2);
      // In this order each sum is exact; in another the ones are lost.
      const rows = lab.input(
        'rows',
        plain([6, width]),
        'f32',
        (i) => [big, -big, -big, big, 1, 3][Math.floor(i / width)],
      );
      table.data.forEach((_, p) => set(table, p, p < width ? 1 : 3));
      lab.backend.scatterAdd(index.view, rows.view, table.view);
      await lab.expect(table);
    }
  }),

  check('scatterAdd: real numbers within γ (P31)', async (lab) => {
    for (const type of lab.having('f32', 'f64')) {
      for (const [rows, count, width] of [[3, 50, 33], [40, 1000, 7]]) {
        const at = { table: plain([rows, width]), index: plain([count]), rows: plain([count, width]) };
        await scatterAdd(lab, { type, storage: type, ...at }, true);
      }
    }
  }), // prettier-ignore
];
