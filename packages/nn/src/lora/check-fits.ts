import { BaxError, sameShape, type Shape, showShape, type Tensor } from '@bax/core';
import { Embedding } from '../layers/embedding.ts';
import { Linear } from '../layers/linear.ts';
import type { Module } from '../module.ts';
import { Adapter } from './adapter.ts';
import { parametersAt } from './full.ts';
import { listOf } from './targets.ts';

/** @throws if a branch or a parameter has no place in the base. */
export function checkFits(by: string, name: string, adapter: Adapter, base: Module): void {
  const bad = (why: string): never => {
    throw new BaxError(`${by}: the adapter '${name}' does not fit the model: ${why}`);
  };
  if (!((adapter as unknown) instanceof Adapter))
    bad('it is no Adapter, as createAdapter and readAdapter give');
  const modules = base.namedModules();
  for (const branch of adapter.branches.values()) {
    const { modulePath } = branch.place;
    const layer = modules.get(modulePath);
    if (!(layer instanceof Linear || layer instanceof Embedding))
      return bad(`it has no linear layer or embedding at ${modulePath}`);
    const { inFeatures, outFeatures, weight } = layer;
    if (branch.A.shape[1] !== inFeatures || branch.start + (branch.slice?.length ?? 0) > outFeatures)
      bad(
        `A ${showShape(branch.A.shape)} and B ${showShape(branch.B.shape)} of ${branch.target} are for another W than [${outFeatures}, ${inFeatures}]`,
      );
    const out = branch.slice?.length ?? outFeatures;
    const [A, B] = [[branch.r, inFeatures], [out, branch.r]]; // prettier-ignore
    const shapes: Readonly<Record<string, Shape>> = { A, B, magnitude: [out], A0: A, B0: B };
    for (const [part, t] of branch.tensors()) {
      if (!sameShape(t.shape, shapes[part]!))
        bad(
          `${part} of ${branch.target} is ${showShape(t.shape)}, and its place asks for ${showShape(shapes[part]!)}`,
        );
      if (t.dtype !== weight.dtype || t.backend !== weight.backend)
        bad(`${branch.target} is ${kindOf(t)}, and the layer ${kindOf(weight)}`);
    }
  }
  const own = new Map(parametersAt(base));
  for (const [path, t] of adapter.full) {
    const found = own.get(path);
    if (!found || !sameShape(found.shape, t.shape))
      return bad(
        `its ${path} is ${showShape(t.shape)}, and the model's ${found ? showShape(found.shape) : 'is not there'}`,
      );
    if (t.dtype !== found.dtype || t.backend !== found.backend)
      bad(`its ${path} is ${kindOf(t)}, and the model's ${kindOf(found)}`);
  }
  if (adapter.branches.size + adapter.full.size === 0)
    bad(`it is empty; the model has ${listOf([...modules.keys()].filter(Boolean))}`);
}

const kindOf = ({ dtype, backend }: Tensor): string => `${dtype} on ${backend.name}`;
