/** Memory that a call needs for a while and gives back however it ends. */
import { rowMajor, type Shape, sizeOf, type Storage, type View } from '@bax/core';
import type { Gpu } from '../gpu.ts';
import type { GpuTensorBuffer } from '../memory.ts';

/** Row-major memory until the end of the call; its contents are undefined. */
export type Fresh = (shape: Shape, type: Storage) => View;

/** Calls `f` with a way to take memory, all of which is given back when it returns or throws. */
export function borrow<T>(gpu: Gpu, f: (fresh: Fresh) => T): T {
  const taken: GpuTensorBuffer[] = [];
  try {
    return f((shape, type) => {
      const buffer = gpu.memory.alloc(sizeOf(shape), type);
      taken.push(buffer);
      return { buffer, shape, strides: rowMajor(shape), offset: 0 };
    });
  } finally {
    for (const buffer of taken) gpu.memory.free(buffer);
  }
}
