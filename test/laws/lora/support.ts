/** What the laws are tried on: that of `loraLaws` in @bax/check. */
import type { Backend } from '@bax/core';
import fc from 'fast-check';
import { lend } from '../../../packages/check/src/lora/law.ts';
import type { On as Device } from '../../support/backends.ts';
import { runs } from '../../support/runs.ts';

export * from '../../../packages/check/src/lora/instance.ts';
export * from '../../../packages/check/src/lora/several.ts';

/** Tries a law on so many random cases (fewer where the device's share is less), and frees what each took of the device. */
export const tryLaw = async <T>(
  device: Device,
  times: number,
  arbitrary: fc.Arbitrary<T>,
  law: (on: { readonly backend: Backend }, x: T) => Promise<void>,
): Promise<void> =>
  fc.assert(
    fc.asyncProperty(arbitrary, async (x) => lend(device.backend, async (backend) => law({ backend }, x))),
    runs(device.runs(times)),
  );
