/** What is held in f16 or bf16: every pattern is widened without loss, wherever it is read, and sums are those of f32. */
import { expr, type HalfFloat, type View } from '@bax/core';
import type { Check } from '../run.ts';
import { type Block, check, type Lab, set } from './lab.ts';
import { decode, ints, realsFor } from './numbers.ts';
import { product } from './product.ts';
import { plain, spaced, type Strided, turned } from './strided.ts';

const HALVES: readonly HalfFloat[] = ['f16', 'bf16'];
const PATTERNS = 2 ** 16;

/** Says that an element is what a pattern stands for; a device without IEEE's numbers may lose subnormal ones and infinities. */
function setWidened(lab: Lab, out: Block, p: number, type: HalfFloat, raw: number): void {
  const value = decode(type, raw);
  const normal = value === 0 || (Math.abs(value) >= 2 ** -126 && Number.isFinite(value));
  set(out, p, value, lab.ieee || normal ? 0 : Number.isFinite(value) ? Math.abs(value) : Infinity);
}

/** b [4, 65536] with all patterns in its first row, zero elsewhere: a row of a that begins with 1 and goes on with 0 picks them. */
function patternsOf(lab: Lab, type: HalfFloat, at: Strided): Block {
  const [row, column] = at.strides;
  const raw = (p: number): number => (Math.floor(p / row) % 4 === 0 ? Math.floor(p / column) : 0);
  return lab.raw('b', at, type, raw, () => 0);
}

/** m, k, n: each kernel's edges, few rows and many, vectors of four at even places and at odd ones, more terms than a block. */
const sizes: readonly (readonly [m: number, k: number, n: number])[] = [
  [1, 7, 5], [1, 132, 52], [3, 68, 100], [4, 36, 44], [5, 36, 44], [5, 35, 43], [15, 20, 12], [16, 20, 28], [17, 20, 36], [31, 12, 31],
  [33, 68, 33], [63, 20, 65], [65, 15, 63], [64, 16, 64], [65, 17, 68], [128, 4, 129], [129, 130, 131], [2, 4100, 68], [5, 2100, 132], [17, 516, 20], [70, 8, 3],
]; // prettier-ignore

/** Products of a wide a and a b that is held in `type`: as b lies, transposed, and with rows that are no whole vectors. */
async function products(lab: Lab, type: HalfFloat, real: boolean): Promise<void> {
  await lab.forEach(real ? sizes.filter((_, i) => i % 3 === 0) : sizes, async ([m, k, n]) => {
    const value = real ? realsFor(type, 2) : ints(2);
    for (const [i, at] of [plain([k, n]), turned([k, n]), spaced([k, n], 1, 4)].entries()) {
      const a = lab.input('a', plain([m, k]), 'f32', real ? realsFor('f32', 1) : ints(1));
      const b = lab.input('b', at, type, value);
      const options = i === 2 ? { scale: 2 } : {};
      const out = lab.output('out', plain([m, n]), 'f32');
      product(lab, a, b, out, options, real);
      lab.backend.matmul(a.view, b.view, out.view, options);
      await lab.expect(a, b, out);
      lab.freeAll();
    }
  });
}

export const storageChecks: readonly Check[] = HALVES.flatMap((type) => [
  check(`storage: map and gather widen all patterns of ${type}`, async (lab) => {
    const x = lab.raw('x', plain([PATTERNS]), type, (i) => i, () => 0); // prettier-ignore
    const table: View = { ...x.view, shape: [256, 256], strides: [256, 1] };
    const index = lab.input('index', plain([256]), 'i32', (i) => 255 - i);
    const mapped = lab.output('mapped', plain([PATTERNS]), 'f32');
    const rows = lab.output('rows', plain([256, 256]), 'f32');
    for (let i = 0; i < PATTERNS; i++) {
      setWidened(lab, mapped, i, type, i);
      setWidened(lab, rows, i, type, (255 - (i >> 8)) * 256 + (i % 256));
    }
    lab.backend.map(expr.scalarFn('f32', 1, 0, [expr.input(0)]), [x.view], [mapped.view], []);
    lab.backend.gather(table, index.view, rows.view);
    await lab.expect(x, mapped, rows);
  }),

  check(`storage: products widen all patterns of ${type}`, async (lab) => {
    for (const at of [plain([4, PATTERNS]), turned([4, PATTERNS])]) {
      for (const m of [1, 5]) {
        const a = lab.input('a', plain([m, 4]), 'f32', (i) => (i % 4 === 0 ? 1 : 0));
        const b = patternsOf(lab, type, at);
        const out = lab.output('out', plain([m, PATTERNS]), 'f32');
        for (let i = 0; i < m * PATTERNS; i++) setWidened(lab, out, i, type, i % PATTERNS);
        lab.backend.matmul(a.view, b.view, out.view);
        await lab.expect(b, out);
        lab.freeAll();
      }
    }
  }),

  check(`storage: products with b in ${type}, at every edge, bits on integers (P31, P45)`, async (lab) =>
    products(lab, type, false),
  ),

  check(`storage: products with b in ${type} within γ on real numbers (P31)`, async (lab) =>
    products(lab, type, true),
  ),
]);
