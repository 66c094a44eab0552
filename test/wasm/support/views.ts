/** Dense buffers on a backend, for tests that speak to it directly. */
import { type Backend, hostArray, type Shape, sizeOf, type Storage, type View } from '@bax/core';

/** A row-major view of a buffer of its own, its elements undefined. */
export const dense = (backend: Backend, shape: Shape, type: Storage = 'f32'): View => ({
  buffer: backend.alloc(sizeOf(shape), type),
  shape,
  strides: shape.map((_, i) => sizeOf(shape.slice(i + 1))),
  offset: 0,
});

/** The same, element i being `value(i)`. */
export function make(backend: Backend, shape: Shape, type: Storage, value: (i: number) => number): View {
  const view = dense(backend, shape, type);
  const data = hostArray(type, sizeOf(shape));
  for (let i = 0; i < data.length; i++) data[i] = value(i);
  backend.write(view.buffer, data);
  return view;
}

/** The elements of a row-major view. */
export const valuesOf = (backend: Backend, { buffer }: View): number[] => Array.from(backend.peek!(buffer)!);

/** Small integers from a seed: cheap, and different at neighbouring places. */
export const ints =
  (seed: number, range = 8) =>
  (i: number): number =>
    (((Math.imul(i + 1, 0x9e3779b1) + Math.imul(seed + 1, 0x85ebca6b)) >>> 16) % (2 * range + 1)) - range;
