/** Adapters of every kind on a small GPT-2, as after some training. */
import { type Backend, foldIn, hostArray, key, normals, type Tensor } from '@bax/core';
import { type Adapter, createAdapter, type LoraConfig, type Module, planLora } from '@bax/nn';

export const variants = {
  'slices of a layer': { r: 2, targets: ['q', 'v'] },
  'whole layers, rsLoRA': { r: 3, alpha: 5, targets: ['c_attn', 'mlp.c_proj'], rslora: true },
  'all-linear': { r: 2, alpha: 3, targets: 'all-linear' },
  'some blocks, other ranks': { r: 2, targets: ['c_fc', 'k'], layersToTransform: [1], rankPattern: { c_fc: 4 } },
  'a table': { r: 2, targets: ['wte', 'v'] },
  DoRA: { r: 2, targets: ['c_fc', 'c_attn'], dora: true },
  'DoRA of slices and a table': { r: 2, targets: ['k', 'wte'], dora: true },
  PiSSA: { r: 2, targets: ['c_proj', 'q'], init: 'pissa' },
  OLoRA: { r: 2, alpha: 2, targets: ['c_attn'], init: 'olora' },
  'an orthogonal start': { r: 4, targets: ['c_fc'], init: 'orthogonal' },
  'A frozen': { r: 2, targets: ['v', 'c_fc'], freezeA: true },
  'all biases': { r: 1, targets: ['v'], bias: 'all' },
  'its own biases': { r: 1, targets: ['c_fc', 'attn.c_proj'], bias: 'lora_only' },
  'a head and a norm of its own': { r: 1, targets: ['c_attn'], modulesToSave: ['lm_head', 'ln_f'] },
  'an adapted head': { r: 2, targets: ['lm_head', 'q'] },
} satisfies Record<string, LoraConfig>; // prettier-ignore
export type Variant = keyof typeof variants;
export const variantNames = Object.keys(variants) as Variant[];

/** Adds numbers of this size to what is there. */
export function shake(tensors: ReadonlyMap<string, Tensor>, seed: number, size = 0.2): void {
  for (const [name, t] of tensors) {
    const values = hostArray(t.dtype as 'f32' | 'f64', t.size);
    const noise = normals(foldIn(key(seed), name), t.size);
    const gain = /magnitude$|ln_\w+\.weight$/.test(name) ? 1 : 0; // what is near one by nature
    values.forEach((_, i) => (values[i] = gain + size * noise[i]!));
    (t.backend as Backend).write(t.view.buffer, values, t.view.offset);
  }
}

/** One of a kind. */
export async function adapterLike(model: Module, variant: Variant, seed = 1): Promise<Adapter> {
  const adapter = await createAdapter(planLora(model, variants[variant]), { key: key(seed) });
  shake(adapter.parameters(), seed);
  return adapter;
}
