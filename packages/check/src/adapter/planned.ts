/** What an adapter is, against its configuration: ranks, shapes, counts. */
import { showShape } from '@bax/core';
import {
  type Adapter,
  Embedding,
  linalg,
  Linear,
  type LoraModel,
  type LoraPlan,
  type Merged,
  type Module,
} from '@bax/nn';
import { CheckError } from '../errors.ts';
import { weightOf } from './factors.ts';

const bad = (message: string): never => {
  throw new CheckError(message);
};

/** @throws CheckError where an active adapter is not what it says, or (with a plan) not what was planned. */
export function assertPlanned(lora: LoraModel<Module>, plan?: LoraPlan): void {
  const modules = lora.base.namedModules();
  for (const name of lora.active.keys()) {
    const adapter = lora.adapter(name);
    let numbers = [...adapter.full.values()].reduce((n, t) => n + t.size, 0);
    for (const { target, place, A, B, r, length, magnitude } of adapter.branches.values()) {
      const layer = modules.get(place.modulePath);
      const adapted = lora.layers.get(place.modulePath);
      if (!layer || !adapted) return bad(`${target} has factors, but the model has no adapted layer there`);
      if (A.shape.join() !== [r, adapted.inFeatures].join())
        bad(
          `A of ${target} is ${showShape(A.shape)}, expected [r, in] = ${showShape([r, adapted.inFeatures])}`,
        );
      if (B.shape.join() !== [length, r].join() || (!place.slice && length !== adapted.outFeatures))
        bad(
          `B of ${target} is ${showShape(B.shape)}, expected [out, r] = ${showShape([adapted.outFeatures, r])}`,
        );
      numbers += r * (adapted.inFeatures + length) + (magnitude?.size ?? 0);
      if (adapter.config.freezeA) numbers -= A.size;
    }
    if (adapter.parameterCount !== numbers)
      bad(
        `${adapter.parameterCount} numbers are trained; Σ r (in + out) and what is trained whole are ${numbers}`,
      );
    if (plan) assertPlan(adapter, plan);
  }
  for (const [path, t] of lora.parameters()) if (!t.requiresGrad) bad(`${path} is trained, but its requiresGrad is false`); // prettier-ignore
}

function assertPlan({ branches, full }: Adapter, plan: LoraPlan): void {
  for (const { path, r, alpha } of plan.entries) {
    const branch = branches.get(path);
    if (!branch) return bad(`the plan adapts ${path}, the adapter does not`);
    if (branch.r !== r || branch.alpha !== alpha)
      bad(
        `${path} was planned with r = ${r} and α = ${alpha}; it has r = ${branch.r} and α = ${branch.alpha}`,
      );
  }
  const stray = [...branches.keys()].find((path) => plan.entries.every((entry) => entry.path !== path));
  if (stray !== undefined) bad(`the adapter adapts ${stray}, the plan does not`);
  if ([...full.keys()].sort().join() !== [...plan.full.keys()].sort().join())
    bad(`planned to be trained whole: ${[...plan.full.keys()].join(', ')}; trained whole are ${[...full.keys()].join(', ')}`); // prettier-ignore
}

/** Larger weights are left to the proof of merging: their singular values take long. */
const LARGEST = 128;

/**
 * Law P4: what merging adds to W has no more than the branches' ranks of singular values beyond rounding,
 * σ_{R+1}(Ŵ' − W) ≤ ‖Ŵ' − (W + s B A)‖_F (Weyl), which some four of its bounds a component cover. DoRA scales rows, so that its change has no low rank.
 */
export async function assertRank<M extends Module>(
  lora: LoraModel<M>,
  { model, report }: Merged<M>,
): Promise<void> {
  const after = model.namedModules();
  for (const { path, bound } of report.layers) {
    const layer = lora.layers.get(path)!;
    const [rows, columns] = [layer.outFeatures, layer.inFeatures];
    const active = layer.active();
    if (Math.min(rows, columns) > LARGEST || active.some(({ branch }) => branch.magnitude)) continue;
    const rank = active.reduce((n, { branch, weight }) => n + branch.products(weight).reduce((m, { A }) => m + A.shape[0]!, 0), 0); // prettier-ignore
    if (rank >= Math.min(rows, columns)) continue;
    const plain = after.get(path);
    if (!(plain instanceof Linear || plain instanceof Embedding))
      return bad(`the merged model has no plain layer at ${path}`);
    const [W, M] = await Promise.all([weightOf(layer.base), weightOf(plain)]);
    const change = linalg.matrix(rows, columns, (i, j) => M[i * columns + j]! - W[i * columns + j]!);
    const beyond = linalg.singularValues(change)[rank]!;
    const rounding = 4 * bound * Math.sqrt(rows * columns) + 2 ** -40 * linalg.frobenius(change);
    if (beyond > rounding)
      bad(`merging changes ${path} by a matrix of a higher rank than ${rank}: σ_${rank + 1} = ${beyond}, where rounding makes at most ${rounding}`); // prettier-ignore
  }
}
