/**
 * Proves LoRA on a backend, and with it the backend in what LoRA asks of it: the laws of h = W x + (α/r) B A x, on layers
 * of any shape and on a small GPT-2. Like the conformance suite it knows no test runner and no platform.
 */
import type { Backend } from '@bax/core';
import { assertBackend } from '../conformance/complete.ts';
import { type Check, type CheckOptions, type CheckReport, runChecks } from '../run.ts';
import { gradientLaws } from './gradients.ts';
import { initLaws } from './init.ts';
import { mergeLaws } from './merge.ts';
import { traceLaws } from './trace.ts';

/** All laws, for a test runner that wants to name each: `test(name, () => run(backend))`. */
export const loraLaws: readonly Check[] = [...initLaws, ...gradientLaws, ...mergeLaws, ...traceLaws];

/**
 * Tries the laws on a backend, one after the other, and collects those that do not hold. Memory that it takes is given back.
 * @throws BaxError that names what is missing if it is no whole `Backend`.
 */
export async function checkLoraOn(backend: Backend, options: CheckOptions = {}): Promise<CheckReport> {
  assertBackend('checkLoraOn', backend);
  const report = await runChecks('checkLoraOn', loraLaws, backend, options);
  return { backend: backend.name, adapter: backend.info.adapter, ...report };
}
