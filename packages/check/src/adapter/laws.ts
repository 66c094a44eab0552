/** What must hold of an adapter on its model, whatever the model is. */
import { backward, scope, sum, type Tensor } from '@bax/core';
import { AdaptedLayer, type LoraModel, type LoraPlan, loadAdapter, memoryFolder, type Module, saveAdapter, transform } from '@bax/nn'; // prettier-ignore
import fc from 'fast-check';
import { assertSameBits, sameBits } from '../bits.ts';
import { CheckError, KinkError, messageOf, UntriedError } from '../errors.ts';
import { firstInfinite } from '../finite.ts';
import { gradcheck } from '../gradcheck.ts';
import { answer, type Ask, type Case } from './asked.ts';
import { fingerprints, firstChange } from './base-bits.ts';
import { copyOf, dtypeOf, hasF64 } from './factors.ts';
import { assertOutputs, assertWeights, type OutputProof } from './merged.ts';
import { assertPlanned, assertRank } from './planned.ts';

/** A model with its adapter, and what it is asked. */
export interface Subject<M extends Module> {
  readonly lora: LoraModel<M>;
  readonly ask: Ask<M>;
  readonly untie: boolean;
  /** What the adapter was meant to be. */
  readonly plan: LoraPlan | undefined;
  /** What came of it, for the report. */
  readonly found: { readonly dead: Set<string>; outputs?: OutputProof };
}

export interface AdapterLaw {
  readonly name: string;
  /** Random cases beside the first, in which the factors are as they are. */
  readonly cases: number;
  holds<M extends Module>(subject: Subject<M>, at: Case): Promise<void>;
}

const finite: AdapterLaw = {
  name: 'every number of the adapter, and of the layers that it adapts, is finite',
  cases: 1,
  async holds({ lora }) {
    const bases = [...lora.layers].flatMap(([path, { base }]) =>
      [...base.namedParameters()].map(([name, t]): [string, Tensor] => [`${path}.${name} of the base`, t]),
    );
    for (const [name, t] of [...lora.parameters(), ...bases]) {
      const bad = firstInfinite(await t.data(), t.shape);
      if (bad !== undefined) throw new CheckError(`${name} is ${bad}`);
    }
  },
};

const planned: AdapterLaw = {
  name: 'P24: what is trained is what the configuration says, and no weight changes by more than its rank',
  cases: 1,
  async holds({ lora, untie, plan }) {
    assertPlanned(lora, plan);
    const merged = await lora.merge({ untie }).catch((error: unknown) => {
      throw new UntriedError(`not tried, since merging fails: ${messageOf(error)}`);
    });
    try {
      await assertRank(lora, merged);
    } finally {
      merged.dispose();
    }
  },
};

const disabled: AdapterLaw = {
  name: 'P21: disabled, the model computes the bits of its base; enabled again, the bits from before',
  cases: 2,
  async holds({ lora, ask }, at) {
    const [base, adapted] = [await answer(ask, lora.base, at), await answer(ask, lora.model, at)];
    lora.disable();
    try {
      assertSameBits(
        await answer(ask, lora.model, at),
        base,
        'outputs of the disabled model and of the base',
      );
    } finally {
      lora.enable();
    }
    assertSameBits(await answer(ask, lora.model, at), adapted, 'outputs after enable() and before disable()');
  },
};

const gradients: AdapterLaw = {
  name: 'P2: the gradients of A, B and all that is trained are central differences (in f64, where the backend has it)',
  cases: 1,
  async holds({ lora, ask }, { ids }) {
    const copy = copyOf(lora, hasF64(lora) ? 'f64' : dtypeOf(lora));
    try {
      const lost = [...lora.parameters().keys()].find((name) => !copy.factors.has(name));
      if (lost !== undefined) throw new CheckError(`${lost} is trained, but is no parameter of the model`);
      const fixed = withDora(lora);
      const moved = [...copy.factors].filter(([name]) => !fixed.has(lora.parameters().get(name)!));
      if (moved.length > 0)
        await gradcheck(() => ask(copy.model, ids), Object.fromEntries(moved), { directions: 1 });
    } catch (error) {
      if (error instanceof KinkError) fc.pre(false); // relu at 0: another point will do
      throw error;
    } finally {
      copy.dispose();
    }
  },
};

/** A and B of layers with DoRA: it takes ‖W + s B A‖ for a constant, so that their gradients are no derivatives of the output (P47). */
export const withDora = (lora: LoraModel<Module>): ReadonlySet<Tensor> =>
  new Set(
    [...lora.active.keys()].flatMap((name) =>
      [...lora.adapter(name).branches.values()].flatMap(({ A, B, magnitude }) => (magnitude ? [A, B] : [])),
    ),
  );

const frozen: AdapterLaw = {
  name: 'P7: what is frozen gets no gradient, and what is trained gets one',
  cases: 1,
  async holds({ lora, ask }, { ids }) {
    const copy = copyOf(lora, dtypeOf(lora));
    try {
      const trained = new Set<Tensor>(copy.factors.values());
      scope(() => backward(sum(ask(copy.model, ids))));
      for (const [path, p] of copy.model.namedParameters()) {
        const got = p.grad !== undefined;
        p.grad?.dispose();
        if (got && !trained.has(p))
          throw new CheckError(`${path} is frozen, and yet it got a gradient: its requiresGrad is ${p.requiresGrad}`); // prettier-ignore
      }
      for (const [name, p] of copy.factors)
        if (!p.grad)
          throw new CheckError(
            `${name} is trained, but got no gradient: what is asked does not depend on it`,
          );
    } finally {
      copy.dispose();
    }
  },
};

const merged: AdapterLaw = {
  name: 'P6, P33, P34: merged is unmerged: each weight within its bound, and the outputs within what f32 costs',
  cases: 2,
  async holds({ lora, ask, untie, found }, at) {
    const result = await lora.merge({ untie });
    try {
      assertWeights(result);
      const proof = await assertOutputs(lora, result.model, ask, at);
      if (!found.outputs || proof.error * found.outputs.bound > found.outputs.error * proof.bound) found.outputs = proof; // prettier-ignore
    } finally {
      result.dispose();
    }
  },
};

const acts: AdapterLaw = {
  name: 'every adapted layer changes the output, unless its B A is zero',
  cases: 1,
  async holds({ lora, ask, found }, at) {
    const copy = copyOf(lora, hasF64(lora) ? 'f64' : dtypeOf(lora));
    try {
      const all = await answer(ask, copy.model, at);
      for (const [path, layer] of lora.layers) {
        const without = transform(copy.model, {
          module: (module, here) =>
            here === path && module instanceof AdaptedLayer ? module.base : undefined,
        });
        const y = await answer(ask, without, at);
        if (y.some((x, i) => x !== all[i])) continue;
        if (!(await isZero(layer)))
          throw new CheckError(`${path} has an adapter whose B A is not zero, and the output is the same without it: does what is asked use this layer?`); // prettier-ignore
        if (at.factors === 0) found.dead.add(path);
      }
    } finally {
      copy.dispose();
    }
  },
};

type Layer = LoraModel<Module>['layers'] extends ReadonlyMap<string, infer L> ? L : never;
/** Whether every active branch adds nothing: A or B is zero, or both are still what was taken out of W. */
async function isZero(layer: Layer): Promise<boolean> {
  for (const { branch } of layer.active()) {
    const { A, B, A0, B0 } = branch;
    const [a, b, a0, b0] = await Promise.all([A, B, A0, B0].map(async (t) => t?.data()));
    const zero = [a!, b!].some((values) => values.every((v) => v === 0));
    if (!zero && !(a0 && b0 && sameBits(a!, a0) && sameBits(b!, b0))) return false;
  }
  return true;
}

const saved: AdapterLaw = {
  name: 'P23: saved and loaded, every tensor has its bits, and the model its outputs',
  cases: 1,
  async holds({ lora, ask }, at) {
    for (const [name, weight] of lora.active) {
      const folder = memoryFolder();
      await saveAdapter(lora, folder, { adapter: name });
      const { lora: again } = await loadAdapter(lora.base, folder);
      try {
        const [before, after] = [lora.adapter(name).tensors(), again.adapter().tensors()];
        if ([...before.keys()].sort().join() !== [...after.keys()].sort().join())
          throw new CheckError(`saved were ${[...before.keys()].join(', ')}; loaded are ${[...after.keys()].join(', ')}`); // prettier-ignore
        for (const [path, t] of before) {
          const stored = Float32Array.from(await t.data()); // files hold f32
          assertSameBits(await after.get(path)!.data(), stored, `${path}, loaded and saved`);
        }
        if (lora.active.size === 1 && weight === 1 && dtypeOf(lora) === 'f32')
          assertSameBits(await answer(ask, again.model, at), await answer(ask, lora.model, at), 'outputs after loading and before saving'); // prettier-ignore
      } finally {
        again.detach();
      }
    }
  },
};

const untouched: AdapterLaw = {
  name: 'P5: no bit of the base changes: by a forward pass, a gradient, merging, saving, disabling',
  cases: 1,
  async holds(subject, at) {
    const before = await fingerprints(subject.lora.base);
    let failed: string | undefined;
    for (const law of [merged, saved, disabled, frozen])
      await law.holds(subject, at).catch((error: unknown) => {
        failed ??= `${law.name}: ${messageOf(error)}`;
      });
    const change = firstChange(before, await fingerprints(subject.lora.base));
    if (change !== undefined) throw new CheckError(`the base's ${change} was changed`);
    if (failed !== undefined) throw new UntriedError(`not tried to the end, and no bit was changed so far, since another law does not hold: ${failed}`); // prettier-ignore
  },
};

/** Every law, the plainest first. */
export const adapterLaws: readonly AdapterLaw[] = [finite, planned, disabled, frozen, gradients, acts, merged, saved, untouched]; // prettier-ignore
