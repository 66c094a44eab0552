import { BaxError } from '@bax/core';
import { Embedding } from '../layers/embedding.ts';
import { Linear } from '../layers/linear.ts';
import type { Module } from '../module.ts';
import { AdaptedLayer } from './adapted.ts';

/** @throws unless adapters can be put beside the layers of the model: by its paths, of which a layer alone has none. */
export function wantBase(by: string, model: Module): void {
  for (const [path, module] of model.namedModules()) {
    if (module instanceof AdaptedLayer)
      throw new BaxError(
        `${by}: ${path || 'the model'} has an adapter already; give the base, or the model that merge() makes`,
      );
    if (path === '' && (module instanceof Linear || module instanceof Embedding))
      throw new BaxError(
        `${by}: the model is a layer itself, and an adapter takes the place of a layer in a model; make it a property of a Module`,
      );
  }
}
