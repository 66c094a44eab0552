/** What merging says of itself is so: no component of any merged weight is further off than its bound, however hard the numbers are. */
import { CheckError } from '@bax/check';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { matrix, scaled, type Matrix } from '../../nn/support/host.ts';
import { onEveryBackend } from '../../support/backends.ts';
import { adapted, deltaOf, instances, mergedOf, tryLaw, weightOf, type Form, type Instance, type On, type Part } from './support.ts'; // prettier-ignore

const f32 = (m: Matrix, f: (x: number, i: number, j: number) => number): Matrix =>
  matrix(m.rows, m.columns, (i, j) => Math.fround(f(m.data[i * m.columns + j]!, i, j)));
/** Each matrix of an instance, by a function of its values. */
const each = (instance: Instance, f: (x: number, i: number, j: number) => number): Instance => ({
  ...instance,
  W: f32(instance.W, f),
  parts: instance.parts.map((p): Part => {
    const pair = ({ A, B }: { A: Matrix; B: Matrix }) => ({ A: f32(A, f), B: f32(B, f) });
    return { ...p, ...pair(p), taken: p.taken && pair(p.taken) };
  }),
});

/** What is hard to add up, and to find the length of. */
const families: Readonly<Record<string, (i: Instance) => Instance>> = {
  'as programs hold them': (i) => i,
  'cancellation: W ≈ −s B A': (i) => ({ ...i, W: f32(scaled(deltaOf(i), -1), (x) => x) }),
  'all but cancellation: W = −s B A in all rows but a little of each': (i) => {
    const [delta, own] = [deltaOf(i), i.W];
    return {
      ...i,
      W: f32(
        delta,
        (x, row, j) => -x * (1 + 2 ** -(14 + (row % 12))) + (j === 0 ? own.data[row]! * 2 ** -20 : 0),
      ),
    };
  },
  'full mantissas, all positive': (i) => each(i, (x) => Math.abs(x) * (1 + 1 / 3) + 7 / 9),
  'wide exponents along a row': (i) => each(i, (x, row, j) => x * 2 ** (((row * 5 + j * 7) % 41) - 20)),
  'rows that are nearly zero': (i) => ({
    ...i,
    W: f32(i.W, (x, row) => x * 2 ** (row % 2 ? 0 : -40)),
    parts: i.parts.map((p) => ({ ...p, B: f32(p.B, (x, row) => x * 2 ** (row % 3 ? 0 : -45)) })),
  }),
  'rows whose squares f32 loses, or holds but roughly': (i) => ({
    ...i,
    W: f32(i.W, (x) => x * 2 ** -62),
    parts: i.parts.map((p) => ({ ...p, B: f32(p.B, (x) => x * 2 ** -62) })),
  }),
};
const alphas = fc.oneof(fc.constant(undefined), fc.constantFrom(8 / 3, 0.3, 7));
const kinds = fc.constantFrom('dora', 'dora', 'taken', 'both', 'plain');
const forms = fc.constantFrom<(Form | undefined)[]>(undefined, undefined, 'embedding');

/** The largest ratio of the components of a merge to what is said to be allowed, recomputed here from the exact weights. */
async function ratioOf(instance: Instance, on: On, dora: boolean, j: number): Promise<number> {
  const lora = adapted(instance, on, undefined, { dora });
  const lengths = new Map<number, number>();
  for (const { magnitude, start } of lora.adapter().branches.values()) {
    if (!magnitude) continue;
    const m = (await magnitude.data()).map((v, i) =>
      j === 0 ? v : Math.fround(v * (0.5 + ((i + j) % 5) / 3) + (j % 2)),
    );
    magnitude.backend.write(magnitude.view.buffer, m, magnitude.view.offset);
    m.forEach((v, i) => lengths.set(start + i, v));
  }
  const { model, report } = await lora.merge();
  const merged = await weightOf(model);
  const V = mergedOf(instance);
  const exact = matrix(V.rows, V.columns, (i, c) => {
    const row = V.data.subarray(i * V.columns, (i + 1) * V.columns);
    const m = lengths.get(i);
    return m === undefined ? row[c]! : row.some((x) => x !== 0) ? (m / Math.hypot(...row)) * row[c]! : 0;
  });
  const error = exact.data.reduce((most, x, i) => Math.max(most, Math.abs(merged[i]! - x)), 0);
  const { worst } = report;
  const inF64 = exact.data.reduce((most, x) => Math.max(most, Math.abs(x)), 0) * 2 ** -50; // what both round themselves
  if (!(Math.abs(worst.error - error) <= 2 ** -20 * worst.bound + inF64 && worst.error <= worst.bound))
    throw new CheckError(`the largest error is ${error}, and the report says ${JSON.stringify(worst)}`);
  return worst.ratio;
}

onEveryBackend((device) => {
  it.each(Object.entries(families))(
    'P33: %s: with DoRA, with parts taken out of W, of layers and tables',
    async (_, harder) => {
      const arbitrary = fc.tuple(kinds, forms).chain(([kind, form]) =>
        fc.tuple(
          fc.constant(kind),
          instances('real', {
            size: 8,
            taken: kind === 'taken' || kind === 'both',
            ...(form ? { form } : {}),
          }),
          alphas,
          fc.nat(4),
        ),
      );
      let most = 0;
      await tryLaw(device, 60, arbitrary, async (on, [kind, given, alpha, j]) => {
        const instance = harder(alpha === undefined ? given : { ...given, alpha, s: alpha / given.r });
        const ratio = await ratioOf(instance, on, kind === 'dora' || kind === 'both', j);
        most = Math.max(most, ratio);
        expect(ratio).toBeLessThanOrEqual(1);
      });
      expect(most, 'the bound is not idle').toBeGreaterThan(1 / 64);
    },
  );

  it('P33: where V is zero but its sum is not, m takes the direction of the rounding, and the bound knows', async () => {
    // (1 + 2^-22)² − 1 = 2^-21 + 2^-44 is a float; its first product is rounded, or not, as the device fuses it
    const a = 1 + 2 ** -22;
    const instance: Instance = {
      form: 'linear', r: 2, alpha: 2, s: 1, slices: {}, bias: undefined,
      W: matrix(2, 2, [-(2 ** -21 + 2 ** -44), 0, 1, 1]),
      parts: [{ name: undefined, start: 0, length: 2, A: matrix(2, 2, [a, 0, 1, 0]), B: matrix(2, 2, [a, -1, 0, 0]) }],
      x: matrix(1, 2, [1, 1]), G: matrix(1, 2, [1, 1]),
    }; // prettier-ignore
    expect([...mergedOf(instance).data]).toEqual([0, 0, 1, 1]);
    for (const j of [1, 3])
      expect(await ratioOf(instance, { backend: device.backend }, true, j)).toBeLessThanOrEqual(1);
  });
});
