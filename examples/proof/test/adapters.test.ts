/** A state machine: whatever is done with several adapters, in any order, the model computes W x + Σ w (α/r) B A x. */
import { assertWithin, operations } from '@bax/check';
import {
  type Adapter,
  attachFactors,
  device,
  keep,
  Linear,
  LoraModel,
  Module,
  noGrad,
  planLora,
  randn,
  type Tensor,
} from 'bax';
import fc from 'fast-check';
import { beforeAll, test } from 'vitest';

class Layer extends Module {
  proj: Linear;
  constructor(weight: Tensor) {
    super();
    this.proj = new Linear(weight);
  }
  forward(x: Tensor): Tensor {
    return this.proj.forward(x);
  }
}

/** What a simple program knows: which adapters there are, which are active and how strongly. */
class Expected {
  added = new Set<string>();
  weights: Record<string, number> = {};
  enabled = true;
}

const adapters: Record<string, Adapter> = {};
/** Each adapter's own part of the output, (α/r) B A x. */
const parts: Record<string, number[]> = {};
let base: Layer;
let x: Tensor;
let plain: ArrayLike<number>;

const random = (shape: readonly number[], seed: number): Tensor =>
  keep(randn(shape, { key: seed, dtype: 'f64' }));
const output = async (lora: LoraModel<Layer>): Promise<ArrayLike<number>> =>
  noGrad(() => lora.model.forward(x)).data();

beforeAll(async () => {
  await device('cpu');
  [base, x] = [new Layer(random([5, 4], 1)), random([3, 4], 2)];
  plain = await output(new LoraModel(base));
  for (const [i, name] of ['a', 'b', 'c'].entries()) {
    const plan = planLora(base, { r: 1 + i, alpha: 2 });
    const alone = attachFactors(base, plan, (_, factor, shape) =>
      random(shape, 10 * i + factor.length + shape[0]!),
    );
    parts[name] = Array.from(await output(alone), (v, j) => v - plain[j]!);
    adapters[name] = alone.remove('default');
  }
});

const name = fc.constantFrom('a', 'b', 'c');
const weights = fc.dictionary(name, fc.constantFrom(1, -1, 0.5));
const table = {
  add: {
    draw: name,
    when: (expected: Expected, which: string) => !expected.added.has(which),
    run(expected: Expected, lora: LoraModel<Layer>, which: string) {
      expected.added.add(which);
      lora.add(which, adapters[which]!);
    },
  },
  remove: {
    draw: name,
    when: (expected: Expected, which: string) => expected.added.has(which),
    run(expected: Expected, lora: LoraModel<Layer>, which: string) {
      expected.added.delete(which);
      delete expected.weights[which];
      lora.remove(which);
    },
  },
  activate: {
    draw: weights,
    when: (expected: Expected, which: Record<string, number>) =>
      Object.keys(which).every((one) => expected.added.has(one)),
    run(expected: Expected, lora: LoraModel<Layer>, which: Record<string, number>) {
      expected.weights = { ...which };
      lora.activate(which);
    },
  },
  disable: {
    run(expected: Expected, lora: LoraModel<Layer>) {
      expected.enabled = false;
      lora.disable();
    },
  },
  enable: {
    run(expected: Expected, lora: LoraModel<Layer>) {
      expected.enabled = true;
      lora.enable();
    },
  },
};

test('any sequence of operations', async () => {
  await fc.assert(
    fc.asyncProperty(operations<Expected, LoraModel<Layer>>(table), async (sequence) => {
      const [expected, lora] = [new Expected(), new LoraModel(base)];
      await sequence.run(expected, lora);
      const active = expected.enabled ? Object.entries(expected.weights) : [];
      const y = Array.from(plain, (v, i) =>
        active.reduce((sum, [which, w]) => sum + w * parts[which]![i]!, v),
      );
      assertWithin(await output(lora), y, 1e-12, 'the output');
    }),
  );
});
