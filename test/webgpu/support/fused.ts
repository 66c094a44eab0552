/** Ops on a GPU beside the same on the cpu in f64: for what the laws over all ops do not draw. */
import { assertSameBits, assertWithin } from '@bax/check';
import {
  applyAll,
  type Backend,
  fromHost,
  noGrad,
  observe,
  type Op,
  ops,
  scope,
  sizeOf,
  type Tensor,
} from '@bax/core';
import { cpu } from '@bax/cpu';
import type { WebGpuBackend } from '@bax/webgpu';
import { expect } from 'vitest';
import { backendCases } from '../../support/backends.ts';

/** The kernels for this adapter, and those for the other kind. */
export const gpuCases = backendCases.filter(({ name }) => name.startsWith('webgpu'));

/** An input: its numbers, and how it lies. */
export interface Input {
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
  /** Makes of a tensor the view that the op gets. */
  readonly as?: (t: Tensor) => Tensor;
}

/** Numbers in [-1, 1), times `scale`, plus `shift`; the same ones each time. */
export function numbers(count: number, scale = 1, shift = 0): Float32Array {
  let state = 12345;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state / 2 ** 31) * scale + shift;
  });
}
export const reals = (shape: readonly number[], scale?: number, shift?: number): Input => ({
  shape,
  data: numbers(sizeOf(shape), scale, shift),
});

const reference = cpu();

function run(name: string, inputs: readonly Tensor[], attrs: unknown): Tensor {
  const op = ops.get(name) as Op;
  return scope(() => noGrad(() => applyAll(op, inputs, attrs)[0]));
}
const plain: NonNullable<Input['as']> = (t) => t;

/** The op's result. It must come from the op's own kernel. */
export async function fused(
  backend: Backend,
  name: string,
  inputs: readonly Input[],
  attrs: unknown,
): Promise<Float32Array> {
  const blocks = inputs.map(({ data, shape }) =>
    fromHost(data, shape, data instanceof Int32Array ? 'i32' : 'f32', { backend }),
  );
  const views = inputs.map(({ as = plain }, i) => as(blocks[i]));
  const ran: string[] = [];
  const y = observe((op) => void ran.push(op), () => run(name, views, attrs)); // prettier-ignore
  expect(ran).toEqual([name]);
  const values = await y.data();
  for (const t of new Set([y, ...views, ...blocks])) t.dispose();
  return values as Float32Array;
}

/** What the cpu makes of the same numbers in f64, op by op as the op is composed. */
export async function exact(name: string, inputs: readonly Input[], attrs: unknown): Promise<Float64Array> {
  const views = inputs.map(({ data, shape, as = plain }) =>
    data instanceof Int32Array
      ? as(fromHost(data, shape, 'i32', { backend: reference }))
      : as(fromHost(Float64Array.from(data), shape, 'f64', { backend: reference })),
  );
  return (await run(name, views, attrs).data()) as Float64Array;
}

/** As the laws have it: 2^-17 of the largest number in sight. */
export async function assertNear(
  backend: Backend,
  name: string,
  inputs: readonly Input[],
  attrs: unknown,
): Promise<Float32Array> {
  const [ours, theirs] = [await fused(backend, name, inputs, attrs), await exact(name, inputs, attrs)];
  const largest = theirs.reduce((most, x) => Math.max(most, Math.abs(x)), 1);
  const shapes = inputs.map(({ shape }) => `[${shape.join(', ')}]`).join(' ');
  assertWithin(ours, theirs, 2 ** -17 * largest, `${name} ${shapes}`);
  return ours;
}

/** The same bits, run by run, whatever freed memory holds. */
export async function assertSteady(
  backend: Backend,
  name: string,
  inputs: readonly Input[],
  attrs: unknown,
): Promise<void> {
  const first = await fused(backend, name, inputs, attrs);
  for (let i = 0; i < 20; i++) {
    if (i % 5 === 0) poison(backend);
    assertSameBits(await fused(backend, name, inputs, attrs), first, `${name}, again`);
  }
}

/** Runs `f` as if the device allowed but seven workgroups in one dimension, where 65,535 would take long. */
export async function onNarrowGrids(backend: Backend, f: () => Promise<unknown>): Promise<void> {
  const { device } = backend as WebGpuBackend;
  const { limits } = device;
  const set = (value: object): unknown =>
    Object.defineProperty(device, 'limits', { value, configurable: true });
  set({
    maxComputeWorkgroupsPerDimension: 7,
    minStorageBufferOffsetAlignment: limits.minStorageBufferOffsetAlignment,
  });
  try {
    await f();
  } finally {
    set(limits);
  }
}

/** Leaves freed memory full of NaN behind. */
function poison(backend: Backend): void {
  const buffers = [1, 100, 200, 400, 800, 1600, 3000, 6000, 12000, 24000].flatMap((length) =>
    [0, 1].map(() => backend.alloc(length, 'f32')),
  );
  for (const buffer of buffers) backend.write(buffer, new Float32Array(buffer.length).fill(NaN));
  for (const buffer of buffers) backend.free(buffer);
}

/** Around what the kernels' teams and vectors are long. */
export const LENGTHS: readonly number[] = [1, 2, 3, 4, 5, 8, 31, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 512, 516, 1000, 1023, 5000]; // prettier-ignore
