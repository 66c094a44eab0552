import { BaxError } from '@bax/core';
import type { Adapter } from './adapter.ts';

/** @throws unless these adapters exist and can act together with these weights. */
export function checkActive(
  adapters: ReadonlyMap<string, Adapter>,
  active: ReadonlyMap<string, number>,
): void {
  const bad = (message: string): never => {
    throw new BaxError(`activate: ${message}`);
  };
  /** Who has a copy of a parameter, and who changes a layer with DoRA or without. */
  const [owners, layers] = [new Map<string, string>(), new Map<string, { name: string; dora: boolean }>()];
  for (const [name, weight] of active) {
    const adapter = adapters.get(name);
    if (!adapter)
      return bad(`there is no adapter '${name}'; there are ${[...adapters.keys()].join(', ') || 'none'}`);
    if (!Number.isFinite(weight)) bad(`the weight of '${name}' is ${weight}; it must be a finite number`);
    const { dora } = adapter.config;
    const [path] = adapter.full.keys();
    if (weight !== 1 && (dora || path !== undefined))
      bad(
        `'${name}' ${dora ? 'uses DoRA, which is not linear in its scale' : `trains ${path} whole`}; its weight can only be 1, not ${weight}`,
      );
    for (const full of adapter.full.keys()) {
      const other = owners.get(full);
      if (other !== undefined)
        bad(`'${other}' and '${name}' both train ${full} whole; only one can be active`);
      owners.set(full, name);
    }
    for (const { modulePath } of new Set([...adapter.branches.values()].map((b) => b.place))) {
      const other = layers.get(modulePath);
      if (other && other.name !== name && (dora || other.dora))
        bad(
          `'${other.name}' and '${name}' both change ${modulePath}, and ${dora ? `'${name}'` : `'${other.name}'`} uses DoRA: what comes out would depend on their order; activate one`,
        );
      layers.set(modulePath, { name, dora: dora || (other?.dora ?? false) });
    }
  }
}
