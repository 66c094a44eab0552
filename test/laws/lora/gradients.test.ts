import { assertSameBits, gamma } from '@bax/check';
import { grad, mul, sub, sum, type Backend, type Tensor } from '@bax/core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
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
import { backendCases } from '../../support/backends.ts';
import {
  adapted,
  baseOf,
  factorsOf,
  gradients,
  instances,
  mergedOf,
  outputOf,
  put,
  type Instance,
  type Part,
} from './support.ts';

/** The rows of D, the gradient of the full weight, that a part adds to. */
const rowsFor = (D: Matrix, { start, length }: Part): Matrix => rowsOf(D, start, length);
/** s Bᵀ D. */
const gradA = (D: Matrix, part: Part, s: number): Matrix =>
  scaled(times(turned(part.B), rowsFor(D, part)), s);
/** s D Aᵀ. */
const gradB = (D: Matrix, part: Part, s: number): Matrix =>
  scaled(times(rowsFor(D, part), turned(part.A)), s);

describe.each(backendCases)('on $name', (device) => {
  let backend: Backend;
  beforeAll(async () => void (backend = await device.make()));
  const on = () => ({ backend });

  /** D = ∂L/∂W' by fine-tuning the whole of W' = W + s B A, without LoRA: another program's gradient. */
  async function full(instance: Instance, loss: (y: Tensor) => Tensor): Promise<Matrix> {
    const W = mergedOf(instance);
    const model = baseOf({ ...instance, form: 'linear', W }, on());
    const weight = model.namedParameters().get('proj.weight')!;
    weight.requiresGrad = true;
    const [D] = grad(loss(model.forward(put(instance.x, on()))), [weight]);
    return matrix(W.rows, W.columns, await D!.data());
  }

  /** The gradients of all A, B and x, in that order, and their names. */
  async function own(
    instance: Instance,
    loss: (y: Tensor) => Tensor,
  ): Promise<Map<string, ArrayLike<number>>> {
    const lora = adapted(instance, on());
    const x = put(instance.x, on());
    const named = new Map<string, Tensor>([['x', x]]);
    for (const part of instance.parts)
      for (const [f, t] of Object.entries(factorsOf(lora, part))) named.set(`${part.name}.${f}`, t);
    const params = [...named.values()];
    for (const p of params) p.requiresGrad = true;
    const grads = grad(loss(lora.model.forward(x)), params);
    const data = await Promise.all(grads.map((g) => g.data()));
    return new Map([...named.keys()].map((name, i) => [name, data[i]!]));
  }

  async function chainRule(
    instance: Instance,
    loss: (y: Tensor) => Tensor,
    cotangent: Matrix,
  ): Promise<void> {
    const { parts, s } = instance;
    const D = await full(instance, loss);
    assertSameBits(D.data, times(turned(cotangent), instance.x).data, 'D of full fine-tuning = Gᵀ x');
    const grads = await own(instance, loss);
    for (const part of parts) {
      const prefix = `${part.name}.`;
      assertSameBits(grads.get(`${prefix}A`)!, gradA(D, part, s).data, `∂A of ${prefix} = s Bᵀ D`);
      assertSameBits(grads.get(`${prefix}B`)!, gradB(D, part, s).data, `∂B of ${prefix} = s D Aᵀ`);
    }
    assertSameBits(grads.get('x')!, times(cotangent, mergedOf(instance)).data, "∂x = G W'");
  }

  it('P2: ∂A = s Bᵀ D and ∂B = s D Aᵀ with D of full fine-tuning at W + s B A; linear loss, bits', async () => {
    const law = async (instance: Instance): Promise<void> => {
      const G = put(instance.G, on());
      await chainRule(instance, (y) => sum(mul(y, G)), instance.G);
    };
    await fc.assert(fc.asyncProperty(instances('int'), law), { numRuns: 120 });
  });

  it("P2: the same of the quadratic loss ½ Σ (y − t)², whose D depends on W', bits", async () => {
    const law = async (instance: Instance): Promise<void> => {
      const t = put(instance.G, on());
      const loss = (y: Tensor): Tensor => {
        const off = sub(y, t);
        return mul(sum(mul(off, off)), 0.5);
      };
      await chainRule(instance, loss, plus(outputOf(instance, mergedOf(instance)), scaled(instance.G, -1)));
    };
    await fc.assert(fc.asyncProperty(instances('int', { narrow: true, size: 8 }), law), { numRuns: 80 });
  });

  it('P2: in real mode, against f64 on the host, within the bound of their sums', async () => {
    const u = backend.info.roundoff;
    const law = async (instance: Instance): Promise<void> => {
      const { parts, s, x, G, W, r } = instance;
      const grads = await own(instance, (y) => sum(mul(y, put(G, on()))));
      const D = times(turned(G), x);
      const within = (
        actual: ArrayLike<number>,
        exact: Matrix,
        terms: Matrix,
        n: number,
        what: string,
      ): void => {
        for (let i = 0; i < exact.data.length; i++)
          expect(Math.abs(actual[i]! - exact.data[i]!), `${what} ${i}`).toBeLessThanOrEqual(
            gamma(n, u) * terms.data[i]! + 2 ** -100,
          );
      };
      const Dabs = times(turned(absolute(G)), absolute(x));
      const n = x.rows + W.rows + W.columns + r + 4; // more than any association of the products rounds
      for (const part of parts) {
        const prefix = `${part.name}.`;
        const positive = { ...part, A: absolute(part.A), B: absolute(part.B) };
        within(grads.get(`${prefix}A`)!, gradA(D, part, s), gradA(Dabs, positive, s), n, '∂A');
        within(grads.get(`${prefix}B`)!, gradB(D, part, s), gradB(Dabs, positive, s), n, '∂B');
      }
      const size = {
        ...instance,
        W: absolute(W),
        parts: parts.map((p) => ({ ...p, A: absolute(p.A), B: absolute(p.B) })),
      };
      within(grads.get('x')!, times(G, mergedOf(instance)), times(absolute(G), mergedOf(size)), n, '∂x');
    };
    await fc.assert(fc.asyncProperty(instances('real'), law), { numRuns: 80 });
  });

  it('P32: L(A + E) − L(A − E) = 2⟨∂A, E⟩ in whole numbers, with a step of 1; so along B, and along both at once', async () => {
    const law = async (instance: Instance, signs: number[]): Promise<void> => {
      const { parts, G } = instance;
      const [lora, x] = [adapted(instance, on()), put(instance.x, on())];
      const factors = [...lora.parameters().values()];
      const grads = await gradients(() => lora.model.forward(x), put(G, on()), factors);
      let at = 0;
      const E = factors.map((f) =>
        matrix(
          f.shape[0]!,
          f.shape[1]!,
          Float64Array.from({ length: f.size }, () => signs[at++ % signs.length]!),
        ),
      );
      /** ⟨G, y⟩ with the factors moved by t E, computed by the device and summed here, where it is exact. */
      const loss = async (t: number, moves: (i: number) => boolean): Promise<number> => {
        const moved = parts.map((part, i) => ({
          ...part,
          A: moves(2 * i) ? plus(part.A, scaled(E[2 * i]!, t)) : part.A,
          B: moves(2 * i + 1) ? plus(part.B, scaled(E[2 * i + 1]!, t)) : part.B,
        }));
        const shifted = adapted({ ...instance, parts: moved }, on());
        return inner(await shifted.model.forward(x).data(), G.data);
      };
      for (const moves of [(i: number) => i % 2 === 0, (i: number) => i % 2 === 1, () => true]) {
        const difference = (await loss(1, moves)) - (await loss(-1, moves));
        const slope = factors.reduce(
          (total, _, i) => total + (moves(i) ? inner(grads[i]!, E[i]!.data) : 0),
          0,
        );
        expect(difference).toBe(2 * slope);
      }
    };
    // the parts of an instance are in the order of their outputs, as the layer's branches are
    const directions = fc.array(fc.constantFrom(-1, 1), { minLength: 7, maxLength: 31 });
    await fc.assert(fc.asyncProperty(instances('int'), directions, law), { numRuns: 60 });
  });
});

describe('in f64 on the CPU', () => {
  it('P2, P32: central differences of a quadratic loss: exact along A and along B, not along both', async () => {
    const { cpu } = await import('@bax/cpu');
    const backend = cpu();
    const on = { backend, dtype: 'f64' as const };
    let unequal = 0;
    const law = async (instance: Instance, signs: number[]): Promise<void> => {
      const { parts, G } = instance;
      const lora = adapted(instance, on);
      const [x, t] = [put(instance.x, on), put(G, on)];
      const quadratic = (y: Tensor): Tensor => sum(mul(sub(y, t), sub(y, t)));
      const [part] = parts as [Part];
      const { A, B } = factorsOf(lora, part);
      for (const p of [A, B]) p.requiresGrad = true;
      const [gA, gB] = await Promise.all(grad(quadratic(lora.model.forward(x)), [A, B]).map((g) => g.data()));
      const direction = (m: Matrix, from: number): Matrix =>
        matrix(
          m.rows,
          m.columns,
          Float64Array.from(m.data, (_, i) => signs[(from + i) % signs.length]!),
        );
      const [EA, EB] = [direction(part.A, 0), direction(part.B, 5)];
      const loss = async (a: number, b: number): Promise<number> => {
        const moved = { ...part, A: plus(part.A, scaled(EA, a)), B: plus(part.B, scaled(EB, b)) };
        const shifted = adapted({ ...instance, parts: [moved, ...parts.slice(1)] }, on);
        return quadratic(shifted.model.forward(x)).item();
      };
      const [alongA, alongB] = [inner(gA!, EA.data), inner(gB!, EB.data)];
      expect((await loss(1, 0)) - (await loss(-1, 0))).toBe(2 * alongA);
      expect((await loss(0, 1)) - (await loss(0, -1))).toBe(2 * alongB);
      if ((await loss(1, 1)) - (await loss(-1, -1)) !== 2 * (alongA + alongB)) unequal++;
    };
    const directions = fc.array(fc.constantFrom(-1, 1), { minLength: 7, maxLength: 31 });
    await fc.assert(fc.asyncProperty(instances('int'), directions, law), { numRuns: 60 });
    expect(unequal, 'the joint difference has a cubic term: the check must see it').toBeGreaterThan(20);
  });
});
