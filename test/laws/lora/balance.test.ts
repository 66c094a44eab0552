/** What a step of SGD does to A Aᵀ − Bᵀ B, which flowing down the gradient would keep: it only gains the step's second order. */
import { assertSameBits } from '@bax/check';
import { type Backend, mul, sum, type Tensor, valueAndGrad } from '@bax/core';
import { adamW, clipGradNorm, type Optimizer, type Params, sgd } from '@bax/nn';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { matrix, plus, scaled, times, turned, type Matrix } from '../../nn/support/host.ts';
import { distance, expectClose, largest } from '../../nn/support/numbers.ts';
import { onEveryBackend } from '../../support/backends.ts';
import { adapted, inputOf, instances, put, tryLaw, type Instance, type InstanceOptions } from './support.ts';

/** A A ᵀ / a − Bᵀ B / b, [r, r]. */
const balance = (A: Matrix, B: Matrix, a = 1, b = 1): Matrix =>
  plus(scaled(times(A, turned(A)), 1 / a), scaled(times(turned(B), B), -1 / b));

/** A and B of each part and their gradients on the host, before and after a step. */
interface Step {
  readonly before: { readonly A: Matrix; readonly B: Matrix };
  readonly after: { readonly A: Matrix; readonly B: Matrix };
  readonly gA: Matrix;
  readonly gB: Matrix;
}
type Make = (params: ReadonlyMap<string, Tensor>) => Optimizer;

const host = async (t: Tensor): Promise<Matrix> => matrix(t.shape[0]!, t.shape[1]!, await t.data());

/** `steps` steps of a linear loss. */
async function stepsOf(instance: Instance, on: { backend: Backend }, make: Make, steps = 1, clip = Infinity): Promise<Step[][]> {
  const lora = adapted(instance, on);
  const [x, G] = [inputOf(instance, on), put(instance.G, on)];
  const params = lora.parameters();
  const optimizer = make(params);
  const branches = [...lora.adapter().branches.values()];
  const all: Step[][] = [];
  for (let n = 0; n < steps; n++) {
    const factors = async () => Promise.all(branches.map(async ({ A, B }) => ({ A: await host(A), B: await host(B) })));
    const before = await factors();
    const { grads } = valueAndGrad(() => sum(mul(lora.model.forward(x), G)), [...optimizer.params]);
    const seen = new Map(await Promise.all(grads.map(async (g, i) => [[...optimizer.params][i]!, await host(g)] as const)));
    optimizer.step(clip < Infinity ? clipGradNorm(grads, clip).grads : grads);
    const after = await factors();
    all.push(branches.map(({ A, B }, i) => ({ before: before[i]!, after: after[i]!, gA: seen.get(A)!, gB: seen.get(B)! })));
  }
  return all;
} // prettier-ignore

const etas = fc.constantFrom(1 / 8, 1 / 2);
const small: InstanceOptions = { narrow: true, size: 8 };
/** Of linear layers and slices, of embeddings, and with parts taken out of W. */
const drawn: fc.Arbitrary<Instance> = fc.oneof(
  { weight: 3, arbitrary: instances('int', small) },
  { weight: 1, arbitrary: instances('int', { ...small, form: 'embedding' }) },
  { weight: 1, arbitrary: instances('int', { ...small, taken: true }) },
);

onEveryBackend((device) => {
  it('P12: after a step of SGD A Aᵀ − Bᵀ B has gained η² (∂A ∂Aᵀ − ∂Bᵀ ∂B), and shrunk by (1 − ηλ)² before; bits', async () => {
    let moved = 0;
    const settings = fc.record({ lambda: fc.constantFrom(0, 1 / 2), momentum: fc.constantFrom(0, 1 / 2) });
    await tryLaw(
      device,
      60,
      fc.tuple(drawn, etas, settings),
      async (on, [instance, lr, { lambda, momentum }]) => {
        const make: Make = (params) => sgd(params, { lr, weightDecay: lambda, momentum });
        for (const { before, after, gA, gB } of (await stepsOf(instance, on, make))[0]!) {
          const expected = plus(
            scaled(balance(before.A, before.B), (1 - lr * lambda) ** 2),
            scaled(balance(gA, gB), lr * lr),
          );
          assertSameBits(balance(after.A, after.B).data, expected.data, 'A Aᵀ − Bᵀ B after a step');
          if (largest(balance(gA, gB).data) > 0) moved++;
        }
      },
    );
    expect(moved, 'steps that change it').toBeGreaterThan(0);
  });

  it('P12: with rates of their own A Aᵀ/η_A − Bᵀ B/η_B gains η_A ∂A ∂Aᵀ − η_B ∂Bᵀ ∂B; bits', async () => {
    await tryLaw(
      device,
      40,
      fc.tuple(drawn, etas, fc.constantFrom(2, 16)),
      async (on, [instance, lr, ratio]) => {
        const groups = (params: ReadonlyMap<string, Tensor>): { params: Params; lrRatio?: number }[] => {
          const of = (name: string): Params => new Map([...params].filter(([key]) => key.endsWith(name)));
          return [{ params: of('.A') }, { params: of('.B'), lrRatio: ratio }];
        };
        const fast = lr * ratio;
        for (const { before, after, gA, gB } of (
          await stepsOf(instance, on, (p) => sgd(groups(p), { lr }))
        )[0]!)
          assertSameBits(
            balance(after.A, after.B, lr, fast).data,
            plus(balance(before.A, before.B, lr, fast), balance(gA, gB, 1 / lr, 1 / fast)).data,
            'A Aᵀ/η_A − Bᵀ B/η_B after a step',
          );
      },
    );
  });

  it('P12: clipping all gradients together is a smaller η', async () => {
    await tryLaw(device, 24, drawn, async (on, instance) => {
      const [all] = await stepsOf(instance, on, (p) => sgd(p, { lr: 1 / 2 }), 1, 1);
      const norm = Math.hypot(...all!.flatMap(({ gA, gB }) => [...gA.data, ...gB.data]));
      const eta = norm > 1 ? 1 / (2 * norm) : 1 / 2;
      for (const { before, after, gA, gB } of all!)
        expectClose(
          balance(after.A, after.B).data,
          plus(balance(before.A, before.B), scaled(balance(gA, gB), eta * eta)).data,
          2 ** -18,
        );
    });
  });

  it('P12: but the second step of momentum, and a step of Adam, do not keep to it', async () => {
    let [heavy, adam] = [0, 0];
    const off = ({ before, after, gA, gB }: Step, eta: number): boolean =>
      distance(
        balance(after.A, after.B).data,
        plus(balance(before.A, before.B), scaled(balance(gA, gB), eta * eta)).data,
      ) > 1e-3;
    await tryLaw(device, 16, instances('int', { ...small, slices: false }), async (on, instance) => {
      const steps = await stepsOf(instance, on, (p) => sgd(p, { lr: 1 / 8, momentum: 1 / 2 }), 2);
      expect(off(steps[0]![0]!, 1 / 8)).toBe(false);
      if (off(steps[1]![0]!, 1 / 8)) heavy++;
      const [first] = await stepsOf(instance, on, (p) => adamW(p, { lr: 1 / 8, weightDecay: 0 }));
      if (off(first![0]!, 1 / 8)) adam++;
    });
    expect([heavy, adam].every((n) => n > 0)).toBe(true);
  });
});
