/** A device without memory: a model of any size can be made on it and run, to count what that takes. */
import {
  BaxError, bytesOf, fromHost, hostArray, keep, ops, type Backend, type BufferRef, type FusedKernel, type HalfFloat, type Shape, type Storage,
  type Tensor,
} from '@bax/core'; // prettier-ignore
import type { Gpt2Config } from '../models/gpt2-config.ts';
import { Gpt2 } from '../models/gpt2.ts';

const nothing = (): void => undefined;

/**
 * A backend that allocates a number and computes nothing; `memory()` counts as if it did. `like` says whose fused kernels it
 * pretends to have, so that what is composed there makes its intermediate results here; by default every op has one.
 */
export function hollowBackend(like?: Pick<Backend, 'fused'>): Backend {
  const names = like
    ? Object.keys(like.fused ?? {})
    : [...ops.values()].flatMap(({ fused }) => (fused === undefined ? [] : [fused]));
  const fused: Record<string, FusedKernel> = Object.fromEntries(names.map((name) => [name, () => true]));
  let [live, peak, buffers] = [0, 0, 0];
  return {
    name: 'hollow',
    info: { adapter: 'none: counts memory', features: [], dtypes: ['f32', 'f64', 'i32'], roundoff: 2 ** -24 },
    alloc(length, type): BufferRef {
      live += length * bytesOf(type);
      peak = Math.max(peak, live);
      buffers++;
      return { length, type };
    },
    free({ length, type }) {
      live -= length * bytesOf(type);
      buffers--;
    },
    read: () => Promise.reject(new BaxError('hollow: nothing is computed here, so there is nothing to read')),
    write: nothing,
    map: nothing,
    reduce: nothing,
    matmul: nothing,
    gather: nothing,
    scatterAdd: nothing,
    random: nothing,
    memory: () => ({ live, pooled: 0, peak, buffers }),
    fused,
  };
}

export interface HollowOptions {
  /** Default: one of its own. */
  readonly backend?: Backend;
  /** How matrices are held, as `loadGpt2` has it. Default f32. */
  readonly storage?: 'f32' | HalfFloat;
}

/** A tensor whose elements nobody wrote. */
export const hollowTensor = (shape: Shape, storage: Storage, backend: Backend): Tensor =>
  fromHost(hostArray(storage, 0), shape, storage, { backend });

/** A GPT-2 of any size, of which nothing is there but the shapes. */
export function hollowGpt2(
  config: Gpt2Config,
  { backend = hollowBackend(), storage = 'f32' }: HollowOptions = {},
): Gpt2 {
  return new Gpt2(config, (_, shape) =>
    keep(hollowTensor(shape, shape.length === 2 ? storage : 'f32', backend)),
  );
}
