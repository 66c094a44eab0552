/** Merged is unmerged: bits in whole numbers, and within what each of both may round in real ones. */
import { linalg, type Matrix } from '@bax/nn';
import fc from 'fast-check';
import { assertSameBits } from '../bits.ts';
import { assertWithin, gamma } from '../bounds.ts';
import { CheckError } from '../errors.ts';
import type { Check } from '../run.ts';
import {
  adapted, deltaOf, type Instance, instances, mergedOf, outputOf, put, run, weightOf,
} from './instance.ts'; // prettier-ignore
import { law } from './law.ts';

const { absolute, matrix, scaled } = linalg;

/** The same with every number positive: the sums of absolute values that rounding is relative to. */
const sizeOf = (instance: Instance): Instance => ({
  ...instance,
  W: absolute(instance.W),
  bias: instance.bias?.map(Math.abs),
  x: absolute(instance.x),
  parts: instance.parts.map((p) => ({ ...p, A: absolute(p.A), B: absolute(p.B) })),
});
const f32 = (m: Matrix): Matrix => matrix(m.rows, m.columns, m.data.map(Math.fround)); // prettier-ignore
const mapped = (m: Matrix, f: (x: number, i: number) => number): Matrix => f32(matrix(m.rows, m.columns, m.data.map(f))); // prettier-ignore

/** Instances made harder: what rounding does worst. */
const families: Readonly<Record<string, (i: Instance) => Instance>> = {
  'as programs hold them': (i) => i,
  'cancellation: W ≈ −s B A': (i) => ({ ...i, W: f32(scaled(deltaOf(i), -1)) }),
  'full mantissas, all positive': (i) => {
    const full = (m: Matrix): Matrix => mapped(absolute(m), (x) => x * (1 + 0.3333333333) + 0.7777777);
    return {
      ...i,
      W: full(i.W),
      x: full(i.x),
      parts: i.parts.map((p) => ({ ...p, A: full(p.A), B: full(p.B) })),
    };
  },
  'stagnation: the first term 1, the others just under u': (i) => {
    const stuck = (m: Matrix): Matrix =>
      matrix(m.rows, m.columns, (_, j) => (j === 0 ? 1 : 2 ** -24 * (1 - 2 ** -20)));
    return {
      ...i,
      W: stuck(i.W),
      x: mapped(i.x, () => 1),
      parts: i.parts.map((p) => ({ ...p, A: stuck(p.A), B: mapped(p.B, () => 1) })),
    };
  },
  'wide exponents': (i) => {
    const spread = (m: Matrix): Matrix => mapped(m, (x, at) => x * 2 ** ((at % 21) - 10));
    return {
      ...i,
      W: spread(i.W),
      x: spread(i.x),
      parts: i.parts.map((p) => ({ ...p, A: spread(p.A), B: spread(p.B) })),
    };
  },
};
/** Also scales that f32 cannot hold: 8/3, 3/7. */
const alphas = fc.oneof(fc.constant(undefined), fc.constantFrom(8 / 3, 0.3, 5, 7));
const scaledBy = (i: Instance, alpha: number | undefined): Instance =>
  alpha === undefined ? i : { ...i, alpha, s: alpha / i.r };
/** One more rounding where α/r itself is rounded to f32. */
const roundingsOf = ({ s }: Instance): number => (Math.fround(s) === s ? 0 : 1);

export const mergeLaws: readonly Check[] = [
  law(
    'P6: merged and unmerged outputs are equal bit for bit in whole numbers, and are x (W + s B A)ᵀ + b',
    150,
    instances('int'),
    async (backend, instance) => {
      const lora = adapted(instance, { backend });
      const { model, report } = await lora.merge();
      assertSameBits(await weightOf(model), mergedOf(instance).data, "W' = W + s B A");
      assertSameBits([report.worst.error], [0], "the report's largest error");
      const x = put(instance.x, { backend });
      const exact = outputOf(instance, mergedOf(instance)).data;
      assertSameBits(await run(lora.model, x), exact, 'unmerged');
      assertSameBits(await run(model, x), exact, 'merged');
    },
  ),

  ...Object.entries(families).map(([family, harder]) =>
    law(
      `P6: each is within its bound of f64, and so of the other; ${family}`,
      60,
      fc.tuple(instances('real'), alphas),
      async (backend, [drawn, alpha]) => {
        const u = backend.info.roundoff;
        const instance = harder(scaledBy(drawn, alpha));
        const lora = adapted(instance, { backend });
        const { model } = await lora.merge();
        const x = put(instance.x, { backend });
        const [unmerged, merged] = [await run(lora.model, x), await run(model, x)];
        const exact = outputOf(instance, mergedOf(instance)).data;
        const size = sizeOf(instance);
        const fixed = outputOf(size, size.W).data;
        const moving = outputOf({ ...size, bias: undefined }, deltaOf(size)).data;
        const k = instance.W.columns;
        const [still, more] = [gamma(k + 2, u), gamma(k + instance.r + 3 + roundingsOf(instance), u)];
        const bound = (i: number): number => still * fixed[i]! + more * moving[i]! + 2 ** -100;
        assertWithin(unmerged, exact, bound, 'unmerged');
        assertWithin(merged, exact, bound, 'merged');
        assertWithin(merged, unmerged, (i) => 2 * bound(i), 'merged from unmerged');
      },
    ),
  ),

  ...Object.entries(families).map(([family, harder]) =>
    law(
      `P33: the merged weights are within the report's bound of W + s B A, and the report says what is so; ${family}`,
      100,
      fc.tuple(instances('real', { size: 8 }), alphas),
      async (backend, [drawn, alpha]) => {
        const u = backend.info.roundoff;
        const instance = harder(scaledBy(drawn, alpha));
        const { model, report } = await adapted(instance, { backend }).merge();
        const merged = await weightOf(model);
        const [exact, moving] = [mergedOf(instance).data, deltaOf(sizeOf(instance)).data];
        const rounding = (1 + u) * gamma(instance.r + 1 + roundingsOf(instance), u);
        const bound = (i: number): number => u * Math.abs(exact[i]!) + rounding * moving[i]! + 2 ** -149;
        assertWithin(merged, exact, bound, 'merged weight');
        const error = exact.reduce((most, v, i) => Math.max(most, Math.abs(merged[i]! - v)), 0);
        const { layers, worst } = report;
        assertWithin([worst.error], [error], 2 ** -40 * error, "the report's largest error");
        const says = `${layers.map(({ path }) => path).join()}, worst ${JSON.stringify(worst)}`;
        if (
          layers.length !== 1 || layers[0] !== worst || worst.path !== 'proj' ||
          !(worst.error <= worst.bound && worst.ratio <= 1 && worst.ratio >= worst.error / worst.bound)
        ) throw new CheckError(`the report says: ${says}`); // prettier-ignore
      },
    ),
  ),
];
