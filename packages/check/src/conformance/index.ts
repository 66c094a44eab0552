/**
 * Proves a backend: each method of core's `Backend` against the plain definition, one element at a time, in integers bit
 * for bit and in real numbers within the bound of any order of summation. It knows no test runner and no platform, so it
 * runs in Node as in a page. What the seam leaves to the backend is not demanded: floats beyond i32 stored as i32, sums in
 * more than the output's precision, sizes of memory rounded up, what does not exist on a device (f64, IEEE's NaN).
 */
import type { Backend, DType } from '@bax/core';
import { type Check, type CheckOptions, type CheckReport, runChecks } from '../run.ts';
import { assertBackend } from './complete.ts';
import { determinismChecks } from './determinism.ts';
import { gatherChecks } from './gather.ts';
import { isIeee } from './lab.ts';
import { functionChecks } from './functions.ts';
import { mapChecks } from './map.ts';
import { matmulChecks } from './matmul.ts';
import { memoryChecks } from './memory.ts';
import { randomChecks } from './random.ts';
import { reduceChecks } from './reduce.ts';
import { storageChecks } from './storage.ts';

/** All checks, for a test runner that wants to name each: `test(name, () => run(backend))`. */
export const conformance: readonly Check[] = [
  ...memoryChecks,
  ...mapChecks,
  ...functionChecks,
  ...reduceChecks,
  ...matmulChecks,
  ...gatherChecks,
  ...storageChecks,
  ...randomChecks,
  ...determinismChecks,
];

/** What the checks leave out on a backend, in words. */
export function leftOut(backend: Backend): string[] {
  const { dtypes, roundoff } = backend.info;
  const missing = (['f32', 'f64', 'i32'] satisfies DType[]).filter((type) => !dtypes.includes(type));
  return [
    ...missing.map((type) => `${type}: ${backend.name} does not compute in it`),
    ...(isIeee(backend) ? [] : [`NaN and infinities: a roundoff of ${roundoff} is not IEEE's`]),
  ];
}

/**
 * Runs the checks one after the other and collects what fails. Memory that it takes is given back.
 * @throws BaxError that names what is missing if it is no whole `Backend`.
 */
export async function checkBackend(backend: Backend, options: CheckOptions = {}): Promise<CheckReport> {
  assertBackend('checkBackend', backend);
  const report = await runChecks('checkBackend', conformance, backend, options, leftOut(backend));
  return { backend: backend.name, adapter: backend.info.adapter, ...report };
}
