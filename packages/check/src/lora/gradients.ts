/** The gradients of A, B and x: against those of another program, against differences, and by what a step along them gains. */
import { type Backend, grad, mul, sub, sum, type Tensor, valueAndGrad } from '@bax/core';
import { linalg, type Matrix, sgd } from '@bax/nn';
import fc from 'fast-check';
import { assertSameBits } from '../bits.ts';
import { assertWithin, gamma } from '../bounds.ts';
import type { Check } from '../run.ts';
import {
  adapted, baseOf, factorsOf, gradients, type Instance, instances, mergedOf, outputOf, type Part, put,
} from './instance.ts'; // prettier-ignore
import { law } from './law.ts';

const { absolute, inner, matrix, plus, rowsOf, scaled, times, turned } = linalg;

type Loss = (y: Tensor) => Tensor;

/** The rows of D, the gradient of the full weight, that a part adds to. */
const rowsFor = (D: Matrix, { start, length }: Part): Matrix => rowsOf(D, start, length);
/** s Bᵀ D. */
const gradA = (D: Matrix, part: Part, s: number): Matrix =>
  scaled(times(turned(part.B), rowsFor(D, part)), s);
/** s D Aᵀ. */
const gradB = (D: Matrix, part: Part, s: number): Matrix =>
  scaled(times(rowsFor(D, part), turned(part.A)), s);

/** D = ∂L/∂W' by fine-tuning the whole of W' = W + s B A, without LoRA: another program's gradient. */
async function full(backend: Backend, instance: Instance, loss: Loss): Promise<Matrix> {
  const W = mergedOf(instance);
  const model = baseOf({ ...instance, form: 'linear', W }, { backend });
  const weight = model.namedParameters().get('proj.weight')!;
  weight.requiresGrad = true;
  const [D] = grad(loss(model.forward(put(instance.x, { backend }))), [weight]);
  return matrix(W.rows, W.columns, await D!.data());
}

/** The gradients of all A, B and x, by name. */
async function own(
  backend: Backend,
  instance: Instance,
  loss: Loss,
): Promise<Map<string, ArrayLike<number>>> {
  const lora = adapted(instance, { backend });
  const x = put(instance.x, { backend });
  const named = new Map<string, Tensor>([['x', x]]);
  for (const part of instance.parts)
    for (const [f, t] of Object.entries(factorsOf(lora, part))) named.set(`${part.name}.${f}`, t);
  const params = [...named.values()];
  for (const p of params) p.requiresGrad = true;
  const grads = grad(loss(lora.model.forward(x)), params);
  const data = await Promise.all(grads.map(async (g) => g.data()));
  return new Map([...named.keys()].map((name, i) => [name, data[i]!]));
}

async function chainRule(backend: Backend, instance: Instance, loss: Loss, cotangent: Matrix): Promise<void> {
  const { parts, s } = instance;
  const D = await full(backend, instance, loss);
  assertSameBits(D.data, times(turned(cotangent), instance.x).data, 'D of full fine-tuning = Gᵀ x');
  const grads = await own(backend, instance, loss);
  for (const part of parts) {
    const { name } = part;
    assertSameBits(grads.get(`${name}.A`)!, gradA(D, part, s).data, `∂A of ${name} = s Bᵀ D`);
    assertSameBits(grads.get(`${name}.B`)!, gradB(D, part, s).data, `∂B of ${name} = s D Aᵀ`);
  }
  assertSameBits(grads.get('x')!, times(cotangent, mergedOf(instance)).data, "∂x = G W'");
}

export const gradientLaws: readonly Check[] = [
  law(
    'P2: ∂A = s Bᵀ D and ∂B = s D Aᵀ with D of full fine-tuning at W + s B A; linear loss, bits',
    120,
    instances('int'),
    async (backend, instance) => {
      const G = put(instance.G, { backend });
      await chainRule(backend, instance, (y) => sum(mul(y, G)), instance.G);
    },
  ),

  law(
    "P2: the same of the quadratic loss ½ Σ (y − t)², whose D depends on W', bits",
    80,
    instances('int', { narrow: true, size: 8 }),
    async (backend, instance) => {
      const t = put(instance.G, { backend });
      const loss: Loss = (y) => {
        const off = sub(y, t);
        return mul(sum(mul(off, off)), 0.5);
      };
      const cotangent = plus(outputOf(instance, mergedOf(instance)), scaled(instance.G, -1));
      await chainRule(backend, instance, loss, cotangent);
    },
  ),

  law(
    'P2: in real numbers, against f64 on the host, within the bound of their sums',
    80,
    instances('real'),
    async (backend, instance) => {
      const { parts, s, x, G, W, r } = instance;
      const grads = await own(backend, instance, (y) => sum(mul(y, put(G, { backend }))));
      const D = times(turned(G), x);
      const Dabs = times(turned(absolute(G)), absolute(x));
      // more than any association of the products rounds
      const bound = gamma(x.rows + W.rows + W.columns + r + 4, backend.info.roundoff);
      const within = (name: string, exact: Matrix, terms: Matrix): void =>
        assertWithin(
          grads.get(name)!,
          exact.data,
          (i) => bound * terms.data[i]! + 2 ** -100,
          `gradient of ${name}`,
        );
      for (const part of parts) {
        const positive = { ...part, A: absolute(part.A), B: absolute(part.B) };
        within(`${part.name}.A`, gradA(D, part, s), gradA(Dabs, positive, s));
        within(`${part.name}.B`, gradB(D, part, s), gradB(Dabs, positive, s));
      }
      const size = {
        ...instance,
        W: absolute(W),
        parts: parts.map((p) => ({ ...p, A: absolute(p.A), B: absolute(p.B) })),
      };
      within('x', times(G, mergedOf(instance)), times(absolute(G), mergedOf(size)));
    },
  ),

  law(
    'P32: L(A + E) − L(A − E) = 2⟨∂A, E⟩ in whole numbers, with a step of 1; so along B, and along both at once',
    60,
    // the parts of an instance are in the order of their outputs, as the layer's branches are
    fc.tuple(instances('int'), fc.array(fc.constantFrom(-1, 1), { minLength: 7, maxLength: 31 })),
    async (backend, [instance, signs]) => {
      const { parts, G } = instance;
      const [lora, x] = [adapted(instance, { backend }), put(instance.x, { backend })];
      const factors = [...lora.parameters().values()];
      const grads = await gradients(() => lora.model.forward(x), put(G, { backend }), factors);
      let at = 0;
      const E = factors.map(({ shape: [rows, columns], size }) =>
        matrix(
          rows!,
          columns!,
          Float64Array.from({ length: size }, () => signs[at++ % signs.length]!),
        ),
      );
      /** ⟨G, y⟩ with the factors moved by t E, computed by the device and summed here, where it is exact. */
      const loss = async (t: number, moves: (i: number) => boolean): Promise<number> => {
        const moved = parts.map((part, i) => ({
          ...part,
          A: moves(2 * i) ? plus(part.A, scaled(E[2 * i]!, t)) : part.A,
          B: moves(2 * i + 1) ? plus(part.B, scaled(E[2 * i + 1]!, t)) : part.B,
        }));
        const shifted = adapted({ ...instance, parts: moved }, { backend });
        return inner(await shifted.model.forward(x).data(), G.data);
      };
      for (const moves of [(i: number) => i % 2 === 0, (i: number) => i % 2 === 1, () => true]) {
        const difference = (await loss(1, moves)) - (await loss(-1, moves));
        const slope = factors.reduce(
          (total, _, i) => total + (moves(i) ? inner(grads[i]!, E[i]!.data) : 0),
          0,
        );
        assertSameBits([difference], [2 * slope], 'the difference of the losses');
      }
    },
  ),

  law(
    'P57: from B = 0 a step of SGD lets the linear loss fall by η s² ‖D Aᵀ‖² exactly',
    80,
    fc.tuple(instances('int', { zeroB: true, size: 8, narrow: true }), fc.constantFrom(1 / 8, 1 / 2)),
    async (backend, [instance, eta]) => {
      const { parts, s, G } = instance;
      const lora = adapted(instance, { backend });
      const [x, cotangent] = [put(instance.x, { backend }), put(G, { backend })];
      const loss = async (): Promise<number> => inner(await lora.model.forward(x).data(), G.data);
      const before = await loss();
      const params = lora.parameters();
      const { grads } = valueAndGrad(() => sum(mul(lora.model.forward(x), cotangent)), [...params.values()]);
      sgd(params, { lr: eta }).step(grads);
      const D = times(turned(G), instance.x);
      const size = parts.reduce((total, part) => {
        const DAt = times(rowsFor(D, part), turned(part.A));
        return total + inner(DAt.data, DAt.data);
      }, 0);
      assertSameBits([before - (await loss())], [eta * s * s * size], 'what the loss fell by');
    },
  ),
];
