/** What goes between the host's numbers and a device's tensors. */
import { fromHost, hostArray, keep, type Shape, type Tensor } from '@bax/core';
import type { Matrix } from '../linalg/index.ts';
import type { Adaptable } from './changed-rows.ts';

/** Values as a tensor that no scope frees, of the kind and at the place of `like`. */
export function keptFrom(values: Float64Array, shape: Shape, { dtype, backend }: Tensor): Tensor {
  const data = hostArray(dtype, values.length);
  data.set(values);
  return keep(fromHost(data, shape, dtype, { backend }));
}

export const keptMatrix = ({ rows, columns, data }: Matrix, like: Tensor): Tensor =>
  keptFrom(data, [rows, columns], like);

/** The layer's weight as [out, in] on the host, row by row. */
export async function matrixValues({ matrix, weight }: Adaptable): Promise<Float32Array | Float64Array> {
  try {
    return (await matrix.data()) as Float32Array | Float64Array;
  } finally {
    if (matrix !== weight) matrix.dispose(); // a view would hold the weight's memory
  }
}
