/** Tensors one behind the other: by copies where they lie so, by maps elsewhere. */
import { type Backend, concat, permute, scope, slice, type Tensor, tensor } from '@bax/core';
import { cpu } from '@bax/cpu';
import { webgpu, type WebGpuBackend } from '@bax/webgpu';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { anyAdapter } from '../../support/backends.ts';
import { runs } from '../../support/runs.ts';

let gpu: WebGpuBackend;
beforeAll(async () => (gpu = await webgpu(anyAdapter)));
afterAll(() => gpu.close());

interface Case {
  readonly dtype: 'f32' | 'i32';
  readonly shape: readonly number[];
  readonly axis: number;
  readonly parts: readonly { readonly length: number; readonly lies: 'whole' | 'window' | 'turned' }[];
}
const cases: fc.Arbitrary<Case> = fc
  .array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 })
  .chain((shape) =>
    fc.record({
      dtype: fc.constantFrom('f32' as const, 'i32' as const),
      shape: fc.constant(shape),
      axis: fc.nat(shape.length - 1),
      parts: fc.array(fc.record({ length: fc.nat(5), lies: fc.constantFrom('whole' as const, 'window' as const, 'turned' as const) }), { minLength: 1, maxLength: 5 }), // prettier-ignore
    }),
  );

async function joined({ dtype, shape, axis, parts }: Case, backend: Backend): Promise<number[]> {
  let next = 0;
  const numbered = (shape: readonly number[]): Tensor =>
    tensor(Int32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => ++next), { shape, dtype, backend }); // prettier-ignore
  const y = scope(() =>
    concat(
      parts.map(({ length, lies }) => {
        const wanted = shape.with(axis, length);
        if (lies === 'turned') {
          const axes = wanted.map((_, i) => wanted.length - 1 - i);
          return permute(numbered(wanted.toReversed()), axes);
        }
        return lies === 'whole' ? numbered(wanted) : slice(numbered(shape.with(axis, length + 2)), axis, 1, length + 1); // prettier-ignore
      }),
      axis,
    ),
  );
  const values = [...(await y.data())];
  y.dispose();
  return values;
}

it('P2: as on the cpu, along any axis, of whole tensors, windows and transposes', async () => {
  const law = fc.asyncProperty(cases, async (c) => {
    expect(await joined(c, gpu)).toEqual(await joined(c, cpu()));
  });
  await fc.assert(law, runs(100));
});
