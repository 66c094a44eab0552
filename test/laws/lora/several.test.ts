/** Several adapters of one layer at once, with weights, against W + Σ w s B A in f64. */
import { assertSameBits, assertWithin, gamma } from '@bax/check';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { absolute, matrix, rowsOf, scaled, times, turned, type Matrix } from '../../nn/support/host.ts';
import { onEveryBackend } from '../../support/backends.ts';
import { runs } from '../../support/runs.ts';
import {
  adaptedBy, deltaOfAll, gradients, inputOf, mergedOfAll, outputOf, put, several, type Several, singleOf,
} from './support.ts'; // prettier-ignore

/** The sums of absolute values, to which rounding is relative. */
const sizeOf = (all: Several): Several => ({
  ...all,
  W: absolute(all.W),
  bias: all.bias?.map(Math.abs),
  x: absolute(all.x),
  members: all.members.map((m) => ({
    ...m,
    weight: Math.abs(m.weight),
    parts: m.parts.map((p) => ({ ...p, A: absolute(p.A), B: absolute(p.B) })),
  })),
});
const outputsOf = (all: Several, W: Matrix): Float64Array =>
  outputOf(all as Pick<Several, 'x' | 'bias'> as Parameters<typeof outputOf>[0], W).data;
/** Also scales that f32 cannot hold. */
const rescaled = fc
  .tuple(several('real', { least: 2 }), fc.constantFrom(1, 8 / 9, 0.3))
  .map(([all, c]): Several => ({
    ...all,
    members: all.members.map((m) => ({ ...m, s: (m.alpha * c) / m.r, alpha: m.alpha * c })),
  }));
/** r_max + n, and one more rounding where f32 cannot hold w s. */
const roundingsOf = ({ members }: Several): number =>
  Math.max(...members.map((m) => m.r + (Math.fround(m.s * m.weight) === m.s * m.weight ? 0 : 1))) +
  members.length;

onEveryBackend((on) => {
  it('P6, P2: bits in whole numbers: outputs, merged weights, and the gradients of every A, B and x', async () => {
    const law = async (all: Several): Promise<void> => {
      const { f32 } = on;
      const lora = adaptedBy(all, f32);
      const x = inputOf(all, f32);
      const exact = mergedOfAll(all);
      const y = await lora.model.forward(x).data();
      assertSameBits(y, outputsOf(all, exact), 'unmerged');
      const { model, report } = await lora.merge();
      assertSameBits(await model.weights(), exact.data, "W' = W + Σ w s B A");
      assertSameBits([report.worst.error], [0], "the report's largest error");
      assertSameBits(await model.forward(x).data(), y, 'merged');

      const D = times(turned(all.G), all.x);
      const wanted = new Map<string, Matrix>();
      for (const { name, s, weight, parts } of all.members)
        for (const { name: slice, start, length, A, B } of parts) {
          const rows = rowsOf(D, start, length);
          const path = `${name} ${slice ? `proj.${slice}` : 'proj'}`;
          wanted.set(`${path} A`, scaled(times(turned(B), rows), s * weight));
          wanted.set(`${path} B`, scaled(times(rows, turned(A)), s * weight));
        }
      const params = [...lora.adapters].flatMap(([name, { branches }]) =>
        [...branches].flatMap(([path, { A, B }]) => [[`${name} ${path} A`, A], [`${name} ${path} B`, B]] as const),
      ); // prettier-ignore
      const isTable = all.form === 'embedding';
      const grads = await gradients(() => lora.model.forward(x), put(all.G, f32), [
        ...params.map(([, t]) => t),
        ...(isTable ? [] : [x]),
      ]);
      params.forEach(([name], i) => assertSameBits(grads[i]!, wanted.get(name)!.data, `∂${name}`));
      if (!isTable) assertSameBits(grads.at(-1)!, times(all.G, exact).data, "∂x = G W'");
    };
    await fc.assert(fc.asyncProperty(several('int', { least: 2 }), law), runs(on.runs(60)));
  });

  it('P6: in real numbers merged and unmerged are each within γ_{k + r_max + n + 2} of f64', async () => {
    const law = async (all: Several): Promise<void> => {
      const { f32 } = on;
      const lora = adaptedBy(all, f32);
      const x = inputOf(all, f32);
      const { model } = await lora.merge();
      const exact = outputsOf(all, mergedOfAll(all));
      const size = sizeOf(all);
      const terms = outputsOf(size, mergedOfAll(size));
      const g = gamma(all.W.columns + roundingsOf(all) + 2, on.backend.info.roundoff);
      const bound = (i: number): number => g * terms[i]! + 2 ** -100;
      assertWithin(await lora.model.forward(x).data(), exact, bound, 'unmerged');
      assertWithin(await model.forward(x).data(), exact, bound, 'merged');
    };
    await fc.assert(fc.asyncProperty(rescaled, law), runs(on.runs(50)));
  });

  it('P33: merged weights are within the bound, and the report says what is so; also held in f16 and bf16', async () => {
    const law = async (all: Several, storage: 'f32' | 'f16' | 'bf16'): Promise<void> => {
      const [stored, least] = { f32: [0, 0], f16: [2 ** -11, 2 ** -25], bf16: [2 ** -8, 0] }[storage] as [number, number]; // prettier-ignore
      const { model, report } = await adaptedBy(all, on.f32).merge({ storage });
      expect(model.namedParameters().get('proj.weight')!.storage).toBe(storage);
      const merged = await model.weights();
      const exact = mergedOfAll(all).data;
      const moving = deltaOfAll(sizeOf(all)).data;
      const u = on.backend.info.roundoff;
      const g = (1 + u) * gamma(roundingsOf(all), u); // r + 1, and n − 1 for the sum
      const bound = (i: number): number => {
        const wide = u * Math.abs(exact[i]!) + g * moving[i]!;
        return wide * (1 + stored) + stored * Math.abs(exact[i]!) + least + 2 ** -140;
      };
      assertWithin(merged, exact, bound, `merged weight in ${storage}`);
      const error = exact.reduce((most, v, i) => Math.max(most, Math.abs(merged[i]! - v)), 0);
      const { worst, layers } = report;
      // both in f64, which rounds, too
      const noise = 2 ** -48 * Math.max(...exact.map(Math.abs), ...moving);
      assertWithin([worst.error], [error], noise, "the report's largest error");
      expect(layers).toEqual([worst]);
      expect(worst.path).toBe('proj');
      expect(worst.ratio).toBeLessThanOrEqual(1);
      expect(worst.ratio).toBeGreaterThanOrEqual(worst.error / worst.bound);
    };
    // f16 holds no number beyond 65,504
    const small = rescaled.map((all): Several => ({ ...all, W: scaled(all.W, 2 ** -6), members: all.members.map((m) => ({ ...m, parts: m.parts.map((p) => ({ ...p, A: scaled(p.A, 2 ** -6), B: scaled(p.B, 2 ** -6) })) })) })); // prettier-ignore
    await fc.assert(fc.asyncProperty(small, fc.constantFrom('f32', 'f16', 'bf16'), law), runs(on.runs(60)));
  });

  it('P33: held in f16 or bf16, the merged weight is the exact sum, rounded once', async () => {
    const law = async (drawn: Several, storage: 'f16' | 'bf16'): Promise<void> => {
      const all = { ...drawn, W: scaled(drawn.W, 513) };
      const { model } = await adaptedBy(all, on.f32).merge({ storage });
      const digits = storage === 'f16' ? 11 : 8;
      const expected = mergedOfAll(all).data.map((x) => rounded(x, digits));
      assertSameBits(await model.weights(), expected, `merged weight in ${storage}`);
    };
    await fc.assert(fc.asyncProperty(several('int'), fc.constantFrom('f16', 'bf16'), law), runs(on.runs(40)));
  });

  it('in whole numbers neither the order of adding nor that of activating matters; weight 0 and inactive are the same', async () => {
    const law = async (all: Several, seed: number): Promise<void> => {
      const x = inputOf(all, on.f32);
      const y = await adaptedBy(all, on.f32).model.forward(x).data();
      const turn = seed % all.members.length;
      const members = [...all.members.slice(turn), ...all.members.slice(0, turn)].toReversed();
      const lora = adaptedBy({ ...all, members }, on.f32);
      assertSameBits(await lora.model.forward(x).data(), y, 'another order of adding');
      lora.activate(Object.fromEntries(all.members.filter((m) => m.weight !== 0).map((m) => [m.name, m.weight]))); // prettier-ignore
      assertSameBits(await lora.model.forward(x).data(), y, 'another order of activating, less the zeros');
      lora.activate([]);
      const base = await singleOf(all, on.f32).forward(x).data();
      assertSameBits(await lora.model.forward(x).data(), base, 'none active');
      lora.activate(all.members[0]!.name);
      const one = mergedOfAll({ W: all.W, members: [{ ...all.members[0]!, weight: 1 }] });
      assertSameBits(await lora.model.forward(x).data(), outputsOf(all, one), 'one active');
      lora.scale(2);
      const twice = mergedOfAll({ W: all.W, members: [{ ...all.members[0]!, weight: 2 }] });
      assertSameBits(await lora.model.forward(x).data(), outputsOf(all, twice), 'scaled');
    };
    await fc.assert(fc.asyncProperty(several('int'), fc.nat(9), law), runs(on.runs(30)));
  });
});

/** To so many digits, half to even: of numbers that are neither subnormal nor too large. */
function rounded(x: number, digits: number): number {
  if (x === 0) return x;
  const unit = 2 ** (Math.floor(Math.log2(Math.abs(x))) + 1 - digits);
  const [low, part] = [Math.floor(x / unit), x / unit - Math.floor(x / unit)];
  const up = part > 0.5 || (part === 0.5 && low % 2 !== 0);
  return (low + (up ? 1 : 0)) * unit;
}

describe('the rounding of this test', () => {
  it('is half to even', () => {
    expect([2049, 2050, 2051, -2049.5, 0.3].map((x) => rounded(x, 11))).toEqual([2048, 2050, 2052, -2050, 0.300048828125]); // prettier-ignore
    expect(matrix(1, 1, [rounded(257, 8)]).data[0]).toBe(256);
  });
});
