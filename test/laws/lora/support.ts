/** What the laws are tried on: that of `loraLaws` in @bax/check. */
import { type Backend, type Key, noGrad } from '@bax/core';
import { attachFactors, Linear, planLora } from '@bax/nn';
import fc from 'fast-check';
import { lend } from '../../../packages/check/src/lora/law.ts';
import type { On as Device } from '../../support/backends.ts';
import { matrix, type Matrix } from '../../nn/support/host.ts';
import { runs } from '../../support/runs.ts';
import { type Instance, type On, One, type Part, put } from '../../../packages/check/src/lora/instance.ts';

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

/** M ∘ x / (1 − p) itself: what a layer of W = 0, A = I, B = I of the same path and input shape gives for x = 1. */
export async function maskOf(part: Part, { x }: Instance, p: number, k: Key, on: On): Promise<Matrix> {
  const n = x.columns;
  const eye = (): ReturnType<typeof put> =>
    put(
      matrix(n, n, (i, j) => (i === j ? 1 : 0)),
      on,
    );
  const layer = new Linear(
    put(
      matrix(n, n, () => 0),
      on,
    ),
  );
  if (part.name !== undefined) layer.slices = { [part.name]: { start: 0, length: n } };
  const base = new One(layer);
  const plan = planLora(base, {
    r: n,
    alpha: n,
    dropout: p,
    targets: [part.name === undefined ? 'proj' : part.name],
  });
  const { model } = attachFactors(base, plan, eye);
  const y = await noGrad(() =>
    model.forward(
      put(
        matrix(x.rows, n, () => 1),
        on,
      ),
      { key: k },
    ),
  ).data();
  return matrix(x.rows, n, y);
}
export const hadamard = (a: Matrix, b: Matrix): Matrix => matrix(a.rows, a.columns, a.data.map((v, i) => v * b.data[i]!)); // prettier-ignore
