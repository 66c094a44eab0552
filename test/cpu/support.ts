/** Row-major tensors on the CPU: what must hold for every layout is in @bax/check's conformance suite. */
import { hostArray, rowMajor, sizeOf } from '@bax/core';
import type { Backend, Shape, Storage, View } from '@bax/core';

export function make(backend: Backend, shape: Shape, type: Storage, value: (i: number) => number): View {
  const data = hostArray(type, sizeOf(shape));
  for (let i = 0; i < data.length; i++) data[i] = value(i);
  const buffer = backend.alloc(data.length, type);
  backend.write(buffer, data);
  return { buffer, shape, strides: rowMajor(shape), offset: 0 };
}

export const valuesOf = (backend: Backend, { buffer }: View): number[] => Array.from(backend.peek!(buffer)!);

/** Small integers from a seed. */
export const ints =
  (seed: number, range = 8) =>
  (i: number): number =>
    (((Math.imul(i + 1, 0x9e3779b1) + Math.imul(seed + 1, 0x85ebca6b)) >>> 16) % (2 * range + 1)) - range;

/** Numbers with full mantissas, of very different sizes. */
export const reals =
  (seed: number) =>
  (i: number): number =>
    (ints(seed, 32767)(i) / 32768) * 2 ** ints(seed + 9, 10)(i);
