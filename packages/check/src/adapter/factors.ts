/** The trained tensors of an adapter: moved at random and put back, and found again in another copy of the model. */
import { assign, foldIn, fromHost, hostArray, key, normals, type Tensor } from '@bax/core';
import { castModule, type Embedding, type Linear, type LoraModel, type Module } from '@bax/nn';

/** Tensors that are all zero move as if their rms were this. */
const LEAST_RMS = 0.1;

/**
 * Runs `use` with each trained tensor of the adapter moved at random by 0.3 of its rms, and puts all back bit for bit: a
 * law that holds trivially where B = 0 is tried where it is not. Seed 0 leaves them where they are.
 */
export async function withFactors<M extends Module, T>(
  lora: LoraModel<M>,
  seed: number,
  use: () => Promise<T>,
): Promise<T> {
  if (seed === 0) return use();
  const factors = [...lora.parameters()];
  const home = await Promise.all(factors.map(async ([, t]) => t.data()));
  try {
    factors.forEach(([name, t], i) => {
      const values = home[i]!;
      const far = 0.3 * Math.max(LEAST_RMS, rmsOf(values));
      const noise = normals(foldIn(key(seed), name), values.length);
      put(t, (j) => values[j]! + far * noise[j]!);
    });
    return await use();
  } finally {
    factors.forEach(([, t], i) => put(t, (j) => home[i]![j]!));
  }
}

function rmsOf(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! ** 2;
  return Math.sqrt(sum / Math.max(1, values.length));
}

/** Changes a tensor in place. */
export function put(t: Tensor, value: (i: number) => number): void {
  const data = hostArray(t.dtype, t.size);
  for (let i = 0; i < data.length; i++) data[i] = value(i);
  const source = fromHost(data, t.shape, t.dtype, { backend: t.backend });
  assign(t, source);
  source.dispose();
}

/** A copy of the adapted model in another dtype, or in the same, in memory of its own. */
export interface Copy<M> {
  readonly model: M;
  /** The adapter's trained tensors in it, by the names of `lora.parameters()`. */
  readonly factors: ReadonlyMap<string, Tensor>;
  dispose(): void;
}

export function copyOf<M extends Module>(lora: LoraModel<M>, dtype: 'f32' | 'f64'): Copy<M> {
  const model = castModule(lora.model, dtype);
  const paths = new Map([...lora.model.namedParameters()].map(([path, t]) => [t, path]));
  const copies = model.namedParameters();
  const factors = new Map<string, Tensor>();
  for (const [name, t] of lora.parameters()) {
    const found = copies.get(paths.get(t) ?? '');
    if (found) factors.set(name, found);
  }
  return { model, factors, dispose: () => model.dispose() };
}

/** What the model computes with. */
export const dtypeOf = (lora: LoraModel<Module>): 'f32' | 'f64' =>
  [...lora.parameters().values()].some((t) => t.dtype === 'f64') ? 'f64' : 'f32';
export const hasF64 = (lora: LoraModel<Module>): boolean =>
  [...lora.parameters().values()].some((t) => t.backend.info.dtypes.includes('f64'));

/** A layer's weight as [out, in], on the host. */
export async function weightOf(layer: Linear | Embedding): Promise<Float32Array | Float64Array | Int32Array> {
  const { matrix } = layer;
  try {
    return await matrix.data();
  } finally {
    if (matrix !== layer.weight) matrix.dispose(); // a view would hold the weight's memory
  }
}
