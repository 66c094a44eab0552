import { type Backend, BaxError } from '@bax/core';

const METHODS = [
  'alloc', 'free', 'write', 'read', 'map', 'reduce', 'matmul', 'gather', 'scatterAdd', 'random', 'memory',
] as const satisfies readonly (keyof Backend)[]; // prettier-ignore

/** @throws BaxError that names what an object lacks to be a `Backend`. */
export function assertBackend(by: string, backend: Partial<Backend> | undefined): asserts backend is Backend {
  const { name, info } = backend ?? {};
  const missing = [
    ...(typeof name === 'string' ? [] : ['name']),
    ...(typeof info?.adapter === 'string' ? [] : ['info.adapter']),
    ...(Array.isArray(info?.dtypes) ? [] : ['info.dtypes']),
    ...(typeof info?.roundoff === 'number' ? [] : ['info.roundoff']),
    ...METHODS.filter((method) => typeof backend?.[method] !== 'function').map((method) => `${method}()`),
  ];
  if (missing.length > 0) throw new BaxError(`${by}: this is no backend, for it lacks ${missing.join(', ')}`);
}
