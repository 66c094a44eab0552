/**
 * Writes an adapter of every variant that bax has, on both bases of test/golden, trained for three steps, with the logits that bax
 * computes from the stored weights in f64: for check_adapter.py, which asks PEFT.
 *
 *     npx tsx --conditions source test/reference/write-adapters.ts OUT
 */
import { setBackend, type Tensor } from '@bax/core';
import { cpu } from '@bax/cpu';
import { adamW, attachLora, loadAdapter, loadGpt2, type LoraConfig, type Module, planLora, saveAdapter, train, writeSafetensors } from '@bax/nn'; // prettier-ignore
import { key } from '@bax/core';
import { openFolder } from '@bax/nn/node';
import { golden, gpt2Folder, idsOf, targetsOf } from '../nn/support/golden.ts';
import { loadMlp } from '../nn/support/mlp.ts';

const backend = cpu();
setBackend(backend);

interface Model extends Module {
  forward(ids: Tensor): Tensor;
  loss(ids: Tensor, targets: Tensor): Tensor;
}
interface Base {
  readonly load: (dtype: 'f32' | 'f64') => Promise<Model>;
  readonly variants: Readonly<Record<string, LoraConfig>>;
}
const bases: Readonly<Record<string, Base>> = {
  gpt2: {
    load: async (dtype) => loadGpt2(gpt2Folder(), { dtype, backend }),
    variants: {
      'all-linear': { targets: 'all-linear' },
      slices: { targets: ['q', 'v'] },
      'slices-rslora': { targets: ['q', 'v'], rslora: true },
      'slices-dora': { targets: ['q', 'v'], dora: true },
      'slices-pissa': { targets: ['q', 'v', 'c_fc'], init: 'pissa' },
      'pissa-rslora-patterns': { init: 'pissa', rslora: true, rankPattern: { c_fc: 4 }, alphaPattern: { 'h.1.*': 9 } },
      'pissa-dora': { targets: ['c_fc'], init: 'pissa', dora: true },
      olora: { targets: ['c_attn', 'c_fc'], init: 'olora' },
      orthogonal: { targets: ['c_proj'], init: 'orthogonal' },
      gaussian: { targets: ['c_attn'], init: 'gaussian' },
      dora: { targets: ['c_attn', 'c_fc'], dora: true, rslora: true },
      'dora-dropout': { targets: ['c_attn'], dora: true, dropout: 0.25 },
      'freeze-a': { targets: ['c_attn'], freezeA: true },
      patterns: { targets: ['c_attn', 'c_proj'], rankPattern: { 'h.0.attn.c_attn': 3, c_proj: 1 }, alphaPattern: { c_proj: 5 } },
      'exclude-layers': { exclude: ['mlp.c_proj'], layersToTransform: [1] },
      wte: { targets: ['wte'] },
      'lm-head': { targets: ['lm_head', 'c_fc'] },
      'save-ln-f': { targets: ['c_attn'], modulesToSave: ['ln_f'] },
      'save-lm-head': { targets: ['c_attn'], modulesToSave: ['lm_head'] },
      'bias-all': { targets: ['c_attn'], bias: 'all' },
      'bias-lora-only': { targets: ['c_attn', 'c_proj'], bias: 'lora_only' },
    },
  },
  mlp: {
    load: async (dtype) => loadMlp({ dtype, backend }),
    variants: {
      linear: { targets: ['fc1', 'fc2'] },
      embed: { targets: ['embed'], rslora: true },
      'embed-dora': { targets: ['embed', 'fc1'], dora: true },
      pissa: { targets: ['embed', 'fc1', 'fc2'], init: 'pissa' },
      olora: { targets: ['fc1', 'fc2'], init: 'olora' },
      head: { targets: ['head', 'fc2'] },
      'save-head': { targets: ['fc1'], modulesToSave: ['head', 'norm'], bias: 'lora_only' },
      'bias-all-save-head': { targets: ['fc1'], modulesToSave: ['head'], bias: 'all' },
      together: { targets: ['embed', 'fc1', 'fc2'], dora: true, rslora: true, dropout: 0.1, rankPattern: { fc1: 4 }, alphaPattern: { fc2: 3 }, modulesToSave: ['norm'] },
    },
  },
}; // prettier-ignore

const out = process.argv[2];
if (out === undefined) throw new Error('usage: write-adapters.ts OUT');
for (const [name, { load, variants }] of Object.entries(bases)) {
  const wanted = golden(`${name}/expected.safetensors`);
  const [ids, targets] = [idsOf(wanted.get('ids')!, backend), targetsOf(wanted.get('labels')!, backend)];
  for (const [variant, config] of Object.entries(variants)) {
    const model = await load('f32');
    const lora = await attachLora(model, planLora(model, { r: 2, alpha: 5, ...config }), { key: key(1) });
    await train({
      batches: () => ({ validTokens: 1 }),
      loss: () => lora.model.loss(ids, targets),
      optimizer: adamW(lora.parameters(), { lr: 0.1 }),
      steps: 3,
    });
    const folder = await openFolder(`${out}/${name}-${variant}`, { create: true });
    const base = `../../test/golden/${name}`;
    await saveAdapter(lora, folder, { baseModel: base });
    const { lora: stored } = await loadAdapter(await load('f64'), folder);
    const logits = stored.model.forward(ids);
    const data = (await logits.data()) as Float64Array;
    const tokens = BigInt64Array.from((await ids.data()) as Int32Array, BigInt);
    await writeSafetensors(folder, 'expected.safetensors', [
      { name: 'ids', dtype: 'I64', shape: ids.shape, data: tokens },
      { name: 'logits', dtype: 'F64', shape: logits.shape, data },
    ]);
    console.log(`${name}-${variant}`);
  }
}
