import { cpu } from '@bax/cpu';
import { setBackend, tensor, type Backend, type ScalarFn, type Tensor } from '@bax/core';

/** A fresh CPU backend, made the default, that also lists the functions of its maps. */
export function freshBackend(): { backend: Backend; maps: ScalarFn[] } {
  const maps: ScalarFn[] = [];
  const inner = cpu();
  const backend: Backend = {
    ...inner,
    map(fn, inputs, outputs, scalars) {
      maps.push(fn);
      inner.map(fn, inputs, outputs, scalars);
    },
  };
  setBackend(backend);
  return { backend, maps };
}

export const f64 = (values: number[]): Tensor => tensor(Float64Array.from(values));
export const f32 = (values: number[]): Tensor => tensor(Float32Array.from(values));

/** The values as they are now; -0 counts as +0. */
export const values = (t: Tensor): number[] => Array.from(t.peek()!, (x) => x + 0);

/** Every value of every tensor of a map, by name. */
export const allValues = (map: ReadonlyMap<string, Tensor>): Record<string, number[]> =>
  Object.fromEntries([...map].map(([name, t]) => [name, values(t)]));
