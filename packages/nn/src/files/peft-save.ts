/** Writes adapters as PEFT does: adapter_config.json and adapter_model.safetensors. */
import { BaxError } from '@bax/core';
import { Conv1D } from '../layers/conv1d.ts';
import type { LoraModel } from '../lora/attach.ts';
import type { LoraLinear } from '../lora/lora-linear.ts';
import { matches, targetsOf } from '../lora/targets.ts';
import type { Module } from '../module.ts';
import { ADAPTER_WEIGHTS, peftConfig, PEFT_PREFIX } from './peft-config.ts';
import { writePair } from './peft-pair.ts';
import { SLICES_KEY, type SliceMap } from './peft-slices.ts';
import { writeSafetensors, type TensorToWrite } from './safetensors-write.ts';
import type { WritableFolder } from './source.ts';

export interface SaveAdapterOptions {
  /** What PEFT shall call the base model: a Hub name or a directory. */
  readonly baseModel?: string | undefined;
  /** Before anything is written. */
  readonly signal?: AbortSignal | undefined;
}
export interface SavedAdapter {
  /** Bytes of adapter_model.safetensors. */
  readonly bytes: number;
  /** Numbers trained: those of A and B as they are held here. */
  readonly trained: number;
  /** Numbers in the file. More than `trained` where slices of a fused layer were written as one block with zeros. */
  readonly stored: number;
}

/** One module as PEFT stores it. Slices become one pair: A' = [A_q; A_v], B' with each B in its block, r' and α' summed. */
interface PeftModule {
  readonly r: number;
  readonly alpha: number;
  readonly A: Float32Array;
  readonly B: Float32Array;
  readonly in: number;
  readonly out: number;
}

/**
 * Writes the adapter, in F32 whatever it is held in, so that PEFT loads it to the same logits; whether it is enabled and
 * its strength are not saved. The weights come first and the configuration last, each
 * replaced whole or not at all, and never the weights under an old configuration that is another: a process that is
 * killed in between leaves weights alone, which nobody takes for an adapter.
 * @throws if a factor is not finite; then nothing was written.
 */
export async function saveAdapter<M extends Module>(
  lora: LoraModel<M>,
  folder: WritableFolder,
  { baseModel, signal }: SaveAdapterOptions = {},
): Promise<SavedAdapter> {
  const modules = new Map<string, PeftModule>();
  const slices: SliceMap = {};
  for (const [path, layer] of lora.layers) {
    signal?.throwIfAborted();
    modules.set(path, await toPeft(path, layer));
    const own = layer.branches.flatMap((b) => (b.slice ? [{ ...b.slice, r: b.r, alpha: b.alpha }] : []));
    if (own.length > 0) slices[path] = own;
  }
  const tensors = [...modules].flatMap(([path, m]): TensorToWrite[] => [
    { name: `${PEFT_PREFIX}${path}.lora_A.weight`, dtype: 'F32', shape: [m.r, m.in], data: m.A },
    { name: `${PEFT_PREFIX}${path}.lora_B.weight`, dtype: 'F32', shape: [m.out, m.r], data: m.B },
  ]);
  const config = peftConfig({
    modules: new Map([...modules].map(([path, { r, alpha }]) => [path, { r, alpha }])),
    targets: shortTargets(lora.base, [...modules.keys()]),
    dropout: lora.plan.config.dropout,
    fanInFanOut: [...lora.layers.values()].every(({ base }) => base instanceof Conv1D),
    baseModel: baseModel ?? null,
  });
  const metadata = {
    format: 'pt',
    ...(Object.keys(slices).length > 0 ? { [SLICES_KEY]: JSON.stringify({ version: 1, slices }) } : {}),
  };
  const bytes = await writePair(folder, JSON.stringify(config, null, 2), async (into) =>
    writeSafetensors(into, ADAPTER_WEIGHTS, tensors, { metadata, atLeastOne: true }),
  );
  return {
    bytes,
    trained: lora.plan.parameters,
    stored: [...modules.values()].reduce((n, m) => n + m.r * (m.in + m.out), 0),
  };
}

async function toPeft(path: string, layer: LoraLinear): Promise<PeftModule> {
  const [k, out] = [layer.inFeatures, layer.outFeatures];
  const r = layer.branches.reduce((n, b) => n + b.r, 0);
  const [A, B] = [new Float32Array(r * k), new Float32Array(out * r)];
  let alpha = 0;
  let rank = 0;
  for (const branch of layer.branches) {
    const [a, b] = [await branch.A.data(), await branch.B.data()];
    if (branch.scale !== layer.branches[0]!.scale)
      throw new BaxError(
        `saveAdapter: the slices of ${path} have different scales, ${branch.scale} and ${layer.branches[0]!.scale}; PEFT holds one for a module`,
      );
    A.set(a, rank * k);
    const start = branch.slice?.start ?? 0;
    for (let i = 0; i < branch.B.shape[0]!; i++)
      for (let j = 0; j < branch.r; j++) B[(start + i) * r + rank + j] = b[i * branch.r + j]!;
    alpha += branch.alpha;
    rank += branch.r;
  }
  for (const [name, values] of Object.entries({ A, B }))
    // as they will be stored: f32 may overflow where f64 did not
    if (!values.every(Number.isFinite))
      throw new BaxError(
        `saveAdapter: ${name} of ${path} holds values that are not finite; nothing was written`,
      );
  return { r, alpha, A, B, in: k, out };
}

/** The last names of the paths if they mean just these modules, else the whole paths. */
function shortTargets(model: Module, paths: readonly string[]): string[] {
  const short = [...new Set(paths.map((path) => path.split('.').at(-1)!))].sort();
  const meant = targetsOf(model).filter(
    ({ slice, path }) => !slice && short.some((name) => matches(name, path)),
  );
  return meant.length === paths.length ? short : [...paths];
}
