/** DoRA: W' = m ∘ V/‖V‖ by rows, V = W + s B A; y = f ∘ (V x) + b with f = m/‖V‖. */
import { assertSameBits, assertWithin, gamma } from '@bax/check';
import { expr, key, type ScalarFn } from '@bax/core';
import { cpu } from '@bax/cpu';
import { type Adapter, attachLora, type LoraModel, planLora } from '@bax/nn';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  absolute,
  inner,
  matrix,
  plus,
  rowsOf,
  scaled,
  times,
  turned,
  type Matrix,
} from '../../nn/support/host.ts';
import { expectClose } from '../../nn/support/numbers.ts';
import { wrapped } from '../../../packages/check/src/lora/law.ts';
import { onEveryBackend } from '../../support/backends.ts';
import {
  adapted, baseOf, gradients, inputOf, instances, mergedOf, outputOf, put, run, targetsIn, tryLaw, weightOf,
  type Form, type Instance, type InstanceOptions, type Mode, type On, type One, type Part,
} from './support.ts'; // prettier-ignore

/** Linear layers of both forms, whole or by slices, and embeddings. */
const drawn = (mode: Mode, options: InstanceOptions = {}): fc.Arbitrary<Instance> =>
  fc
    .constantFrom<(Form | undefined)[]>(undefined, undefined, 'embedding')
    .chain((form) => instances(mode, { size: 8, ...options, ...(form ? { form } : {}) }));

const row = (m: Matrix, i: number): Float64Array => m.data.subarray(i * m.columns, (i + 1) * m.columns);
const norm = (m: Matrix, i: number): number => Math.hypot(...row(m, i));
/** The part that changes an output, if one does. */
const partAt = ({ parts }: Instance, i: number): Part | undefined =>
  parts.find((p) => i >= p.start && i < p.start + p.length);
/** Row i times f(i). */
const rowsTimes = (m: Matrix, f: (i: number) => number): Matrix =>
  matrix(m.rows, m.columns, (i, j) => f(i) * m.data[i * m.columns + j]!);

/** An adapter with DoRA, of which m is what `lengths` makes of the lengths that it begins with. */
async function withLengths(instance: Instance, on: On, lengths: (m: number, i: number) => number): Promise<LoraModel<One>> {
  const lora = adapted(instance, on, undefined, { dora: true });
  for (const { magnitude: m, start } of lora.adapter().branches.values()) {
    const values = (await m!.data()).map((v, i) => lengths(v, start + i));
    m!.backend.write(m!.view.buffer, values, m!.view.offset);
  }
  return lora;
} // prettier-ignore
/** m on the host, for all outputs; NaN where nothing is changed. */
async function lengthsOf({ W }: Instance, adapter: Adapter): Promise<Float64Array> {
  const all = new Float64Array(W.rows).fill(NaN);
  for (const { magnitude, start } of adapter.branches.values()) all.set(await magnitude!.data(), start);
  return all;
}
const other = (m: number, i: number): number =>
  Math.fround(m * (0.75 + ((i * 5) % 7) / 8) + (m === 0 ? 0.5 : 0));

onEveryBackend((device) => {
  it.each<Mode>(['int', 'real'])(
    'P1, P27: a new adapter changes no bit: of outputs with their bias, of merged weights; in %s mode',
    async (mode) => {
      const arbitrary = fc.tuple(
        drawn(mode, { size: 16 }),
        fc.constantFrom('kaiming', 'gaussian'),
        fc.nat(99),
      );
      await tryLaw(device, 60, arbitrary, async (on, [instance, init, seed]) => {
        const base = baseOf(instance, on);
        const { r, alpha } = instance;
        const plan = planLora(base, { r, alpha, targets: targetsIn(instance), init, dora: true });
        const lora = await attachLora(base, plan, { key: key(seed) });
        const x = inputOf(instance, on);
        assertSameBits(await run(lora.model, x), await run(base, x), 'output');
        const { model, report } = await lora.merge();
        assertSameBits(await weightOf(model), await weightOf(base), 'merged weight');
        expect(report.worst.ratio).toBeLessThanOrEqual(1);
      });
    },
  );

  it('P27: with m = 2^j ‖W‖ and B = 0 the output is 2^j (W x) + b, bit for bit in real mode', async () => {
    const arbitrary = fc.tuple(drawn('real', { zeroB: true, size: 16 }), fc.integer({ min: -3, max: 3 }));
    await tryLaw(device, 40, arbitrary, async (on, [instance, j]) => {
      const lora = await withLengths(instance, on, (m) => m * 2 ** j);
      const bare = { ...instance, bias: undefined };
      const x = inputOf(instance, on);
      const Wx = await run(baseOf(bare, on), x);
      const out = instance.W.rows;
      const expected = Float32Array.from(Wx, (v, at) => {
        const c = partAt(instance, at % out) ? 2 ** j : 1;
        return Math.fround(c * v) + (instance.bias?.[at % out] ?? 0);
      });
      // with a bias there is one rounding, in either direction where a device may choose it
      if (instance.bias && on.backend.info.roundoff > 2 ** -24)
        assertWithin(await run(lora.model, x), expected, (i) => 2 ** -23 * Math.abs(expected[i]!), 'output');
      else assertSameBits(await run(lora.model, x), expected, 'output');
      const { model } = await lora.merge();
      const scaledRows = rowsTimes(instance.W, (i) => (partAt(instance, i) ? 2 ** j : 1));
      assertSameBits(await weightOf(model), scaledRows.data, 'merged weight');
    });
  });

  it('P27: the rows of the merged weight have the lengths m, within (k/2 + 5) u m; P33: and are within the report', async () => {
    await tryLaw(device, 60, drawn('real', { size: 16 }), async (on, instance) => {
      const { roundoff: u } = on.backend.info;
      const lora = await withLengths(instance, on, other);
      const m = await lengthsOf(instance, lora.adapter());
      const { model, report } = await lora.merge();
      const merged = matrix(instance.W.rows, instance.W.columns, await weightOf(model));
      const V = mergedOf(instance);
      for (let i = 0; i < V.rows; i++) {
        if (!partAt(instance, i)) assertSameBits(row(merged, i), row(instance.W, i), 'a row of no slice');
        else if (norm(V, i) > 0)
          assertWithin(
            [norm(merged, i)],
            [m[i]!],
            (V.columns / 2 + (u > 2 ** -24 ? 9 : 5)) * u * m[i]!,
            'length',
          );
      }
      expect(report.worst.ratio).toBeLessThanOrEqual(1);
    });
  });

  it('P6: merged and unmerged are f ∘ (V x) + b, each within its bound of f64', async () => {
    await tryLaw(device, 50, drawn('real', { size: 12 }), async (on, instance) => {
      const { roundoff: u } = on.backend.info;
      const lora = await withLengths(instance, on, other);
      const m = await lengthsOf(instance, lora.adapter());
      const V = mergedOf(instance);
      // rows that all but vanish are the report's matter
      const size = mergedOf({ ...instance, W: absolute(instance.W), parts: instance.parts.map((p) => ({ ...p, A: absolute(p.A), B: absolute(p.B) })) }); // prettier-ignore
      fc.pre(
        V.data.length > 0 &&
          Array.from({ length: V.rows }, (_, i) => norm(V, i) > norm(size, i) / 16).every(Boolean),
      );
      const f = (i: number): number => (partAt(instance, i) ? m[i]! / norm(V, i) : 1);
      const exact = outputOf(instance, rowsTimes(V, f)).data;
      const { bias } = instance;
      const limit = outputOf(
        { ...instance, x: absolute(instance.x), bias: bias?.map(Math.abs) },
        rowsTimes(size, f),
      ).data;
      // the norm is off by as much again as V, 16 times at most where V is a 16th of its terms
      const bound = 18 * gamma(V.columns + instance.r + 12, u);
      const x = inputOf(instance, on);
      const within = async (model: One, what: string): Promise<void> =>
        assertWithin(await run(model, x), exact, (i) => bound * limit[i]! + 2 ** -100, what);
      await within(lora.model, 'unmerged');
      await within((await lora.merge()).model, 'merged');
    });
  });

  it('P47: ∂A = s Bᵀ (f ∘ D), ∂B = s (f ∘ D) Aᵀ, ∂m = rowsum(D ∘ V)/‖V‖, ∂x = (G ∘ f) V; exact differences with the norm frozen', async () => {
    await tryLaw(device, 40, drawn('int'), async ({ backend }, instance) => {
      const on = { ...device.widest, backend };
      const lora = await withLengths(instance, on, other);
      const m = await lengthsOf(instance, lora.adapter());
      const [V, { G, x, s, parts, form }] = [mergedOf(instance), instance];
      const n = Array.from({ length: V.rows }, (_, i) => norm(V, i) || 1);
      const f = (i: number): number => (partAt(instance, i) ? m[i]! / n[i]! : 1);
      const D = times(turned(G), x);
      const fD = rowsTimes(D, f);
      const params = lora.parameters();
      const input = inputOf(instance, on);
      const asked = [...params.values(), ...(form === 'embedding' ? [] : [input])];
      const grads = await gradients(() => lora.model.forward(input), put(G, on), asked);
      const got = new Map([...params.keys(), 'x'].map((name, i) => [name, grads[i]!]));
      const tolerance = on.dtype === 'f64' ? 1e-12 : 1e-5;
      for (const part of parts) {
        const { A, B, start, length, name } = part;
        const at = `proj.${name ?? 'lora'}`;
        const rows = rowsOf(fD, start, length);
        const want = {
          A: scaled(times(turned(B), rows), s).data,
          B: scaled(times(rows, turned(A)), s).data,
          magnitude: Float64Array.from(
            { length },
            (_, i) => inner(row(D, start + i), row(V, start + i)) / n[start + i]!,
          ),
        };
        for (const [field, values] of Object.entries(want))
          expectClose(got.get(`${at}.${field}`)!, values, tolerance, `∂${field} of ${at}`);

        // ⟨G, (m/n) ∘ (V x)⟩ with n fixed is linear in A, in B and in m: a difference with step 1 is its gradient
        const loss = (W: Matrix, lengths: Float64Array): number =>
          inner(rowsTimes(W, (i) => (partAt(instance, i) ? lengths[i]! / n[i]! : 1)).data, D.data);
        const moved = (by: Partial<Part>): Matrix =>
          mergedOf({ ...instance, parts: parts.map((p) => (p === part ? { ...p, ...by } : p)) });
        const sign = (M: Matrix, t: number): Matrix =>
          plus(
            M,
            matrix(M.rows, M.columns, (i, j) => ((i * 3 + j * 5) % 4 < 2 ? t : -t)),
          );
        const signs = (M: Matrix): Float64Array => sign(scaled(M, 0), 1).data;
        for (const [field, M] of [
          ['A', A],
          ['B', B],
        ] as const)
          expectClose(
            [inner(got.get(`${at}.${field}`)!, signs(M))],
            [(loss(moved({ [field]: sign(M, 1) }), m) - loss(moved({ [field]: sign(M, -1) }), m)) / 2],
            tolerance * 10,
            `along ${field}`,
          );
      }
      if (form !== 'embedding') expectClose(got.get('x')!, times(G, rowsTimes(V, f)).data, tolerance, '∂x');
    });
  });

  it('P47: with the norm let go the differences are others: it has no gradient', async () => {
    let differ = 0;
    await tryLaw(
      device,
      16,
      instances('int', { size: 8, slices: false, form: 'linear' }),
      async ({ backend }, instance) => {
        const on = { ...device.widest, backend };
        const lora = await withLengths(instance, on, other);
        const m = await lengthsOf(instance, lora.adapter());
        const [x, { G, parts }] = [put(instance.x, on), instance];
        const [part] = parts as [Part];
        const { A } = [...lora.adapter().branches.values()][0]!;
        const [g] = await gradients(() => lora.model.forward(x), put(G, on), [A]);
        const D = times(turned(G), instance.x);
        const E = matrix(part.A.rows, part.A.columns, (i, j) => ((i + j) % 2 ? 1 : -1));
        const loss = (t: number): number => {
          const V = mergedOf({ ...instance, parts: [{ ...part, A: plus(part.A, scaled(E, t)) }] });
          return inner(rowsTimes(V, (i) => m[i]! / (norm(V, i) || 1)).data, D.data);
        };
        const slope = (loss(1e-4) - loss(-1e-4)) / 2e-4;
        if (Math.abs(slope - inner(g!, E.data)) > 1e-2 * (1 + Math.abs(slope))) differ++;
      },
    );
    expect(differ).toBeGreaterThan(0);
  });

  it('P27: a row of zeros stays one, and nothing of it is NaN', async () => {
    await tryLaw(device, 20, instances('real', { size: 8, zeroB: true }), async (on, drawnOne) => {
      const { W } = drawnOne;
      const instance = {
        ...drawnOne,
        W: matrix(W.rows, W.columns, (i, j) => (i % 2 ? W.data[i * W.columns + j]! : 0)),
      };
      const lora = adapted(instance, on, undefined, { dora: true });
      const x = inputOf(instance, on);
      const base = baseOf(instance, on);
      assertSameBits(await run(lora.model, x), await run(base, x), 'output');
      const grads = await gradients(() => lora.model.forward(x), put(instance.G, on), [
        ...lora.parameters().values(),
      ]);
      for (const g of grads) expect(Array.from(g).every(Number.isFinite)).toBe(true);
      const { model, report } = await lora.merge();
      assertSameBits(await weightOf(model), await weightOf(base), 'merged weight');
      expect(report.worst.ratio).toBeLessThanOrEqual(1);
    });
  });
});

it('P27: also on a device that does not divide exactly, where m/‖V‖ with m = ‖V‖ is not 1, a new adapter changes no bit', async () => {
  const inner = cpu();
  let divisions = 0;
  const skewed = wrapped(inner, {
    map(fn, inputs, outputs, scalars) {
      const [y] = fn.outputs;
      const divides = y!.kind === 'call' && y!.fn === 'div';
      if (divides) divisions++;
      const off = (): ScalarFn => expr.scalarFn(fn.type, fn.inputs, fn.scalars, [expr.mul(y!, 1 - 2 ** -23)]);
      inner.map(divides ? off() : fn, inputs, outputs, scalars);
    },
  });
  for (const instance of fc.sample(drawn('real'), { numRuns: 20, seed: 1 })) {
    const base = baseOf(instance, { backend: skewed });
    const { r, alpha } = instance;
    const plan = planLora(base, { r, alpha, targets: targetsIn(instance), dora: true });
    const lora = await attachLora(base, plan, { key: key(1) });
    const x = inputOf(instance, { backend: skewed });
    assertSameBits(await run(lora.model, x), await run(base, x), 'output');
    assertSameBits(await weightOf((await lora.merge()).model), await weightOf(base), 'merged weight');
  }
  expect(divisions).toBeGreaterThan(20);
});
