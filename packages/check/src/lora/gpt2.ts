/** Small models, of which the tests may make many. */
import {
  fromHost,
  hostArray,
  key,
  keep,
  normals,
  foldIn,
  type Backend,
  type DType,
  type Tensor,
} from '@bax/core';
import {
  attachFactors, createGpt2, gpt2Config, planLora, type Gpt2, type Gpt2Config, type LoraConfig, type LoraModel, type Module,
} from '@bax/nn'; // prettier-ignore

export interface Tiny {
  readonly backend: Backend;
  readonly dtype?: DType;
  readonly seed?: number;
  readonly config?: Partial<Gpt2Config>;
}

/** 2 blocks of width 8 with 2 heads, 11 tokens, 8 positions, no dropout; biases and gains random too. */
export function tinyGpt2({ backend, dtype = 'f32', seed = 0, config = {} }: Tiny): Gpt2 {
  const full = gpt2Config({
    n_layer: 2, n_embd: 8, n_head: 2, vocab_size: 11, n_positions: 8, eos_token_id: null, bos_token_id: null,
    resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0, initializer_range: 0.4, ...config,
  }); // prettier-ignore
  const model = createGpt2(full, { key: key(seed), dtype, backend });
  for (const [path, p] of model.namedParameters())
    if (p.rank === 1) {
      const gain = /ln_\w+\.weight$/.test(path) ? 1 : 0;
      const values = hostArray(dtype, p.size).map(
        (_: number, i: number) => gain + 0.3 * drawn(seed, path, p.size)[i]!,
      );
      p.backend.write(p.view.buffer, values, p.view.offset);
    }
  return model;
}
const drawn = (seed: number, name: string, n: number): Float64Array =>
  normals(foldIn(key(seed + 1000), name), n);

/** An adapter of which neither A nor B is zero. */
export const randomAdapter = <M extends Module>(
  model: M,
  config: LoraConfig,
  { seed = 0, size = 0.3 }: { readonly seed?: number; readonly size?: number } = {},
): LoraModel<M> =>
  attachFactors(model, planLora(model, config), ({ path, layer: { weight } }, factor, shape) => {
    const values = hostArray(weight.dtype, shape[0] * shape[1]);
    const source = drawn(seed, `${path}.${factor}`, values.length);
    return keep(fromHost(values.map((_: number, i: number) => size * source[i]!), shape, weight.dtype, { backend: weight.backend })); // prettier-ignore
  });

/** n token ids of a vocabulary. */
export const tokenIds = (n: number, vocabulary = 11, seed = 7): Int32Array =>
  Int32Array.from(normals(key(seed), n), (x) => Math.floor(Math.abs(x) * 1e4) % vocabulary);
export const tokens = (
  backend: Backend,
  shape: readonly [batch: number, time: number],
  vocabulary = 11,
  seed = 7,
): Tensor => fromHost(tokenIds(shape[0] * shape[1], vocabulary, seed), shape, 'i32', { backend });
