import {
  BaxError,
  fromHost,
  getBackend,
  keep,
  narrowed,
  sameShape,
  showShape,
  type Backend,
  type HalfFloat,
  type Tensor,
} from '@bax/core';
import { isJsonObject, parseJson } from '../files/json.ts';
import { openSafetensorsIn, type Safetensors } from '../files/safetensors.ts';
import { writeSafetensors, type TensorToWrite } from '../files/safetensors-write.ts';
import { checkFolder, type Folder, type WritableFolder } from '../files/source.ts';
import { Gpt2 } from './gpt2.ts';
import { gpt2Config, type Gpt2Config } from './gpt2-config.ts';

const WEIGHTS = 'model.safetensors';
const CONFIG = 'config.json';
const MAX_CONFIG_BYTES = 1 << 20;

export interface Progress {
  /** Bytes done and in all. */
  readonly done: number;
  readonly total: number;
}
export interface LoadOptions {
  /** What to compute with; weights stored narrower are widened. Default f32. */
  readonly dtype?: 'f32' | 'f64';
  /**
   * How the matrices, of the linear layers and of the embeddings, are held: f16 and bf16 take half the memory of f32 and are
   * frozen; every product widens them as it reads and sums in f32. Bits that the file stores so go to the device as they
   * are, other numbers are rounded once. Norms and biases stay in f32. Default: the dtype.
   */
  readonly storage?: 'f32' | HalfFloat;
  readonly backend?: Backend;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/** Causal masks that older checkpoints carry as tensors. */
const isMaskBuffer = (name: string): boolean => /(^|\.)attn\.(masked_)?bias$/.test(name);

/**
 * Loads a GPT-2 directory as the Hub holds it: config.json and model.safetensors, with or without the `transformer.`
 * prefix. All or nothing.
 * @throws if a file is missing or broken, a weight is missing, misshaped or left over, or too large for the storage; the
 * message names it.
 */
export async function loadGpt2(folder: Folder, options: LoadOptions = {}): Promise<Gpt2> {
  checkFolder('loadGpt2', folder);
  checkStorage(options);
  const config = await readConfig(folder);
  if (!(await folder.has(WEIGHTS)))
    throw new BaxError(
      (await folder.has(`${WEIGHTS}.index.json`))
        ? `loadGpt2: ${folder.name} holds its weights in several files; save the model with max_shard_size="100GB"`
        : `loadGpt2: ${folder.name} has no ${WEIGHTS}; save the model with safe_serialization=True`,
    );
  const file = await openSafetensorsIn(folder, WEIGHTS);
  try {
    return await assemble(config, file, options);
  } finally {
    await file.close();
  }
}

function checkStorage({ dtype = 'f32', storage = 'f32' }: LoadOptions): void {
  if (!['f32', 'f16', 'bf16'].includes(storage))
    throw new BaxError(`loadGpt2: storage is '${String(storage)}'; choose f32, f16 or bf16`);
  if (dtype !== 'f32' && storage !== 'f32')
    throw new BaxError(
      `loadGpt2: what is held in ${storage} computes as f32, and dtype is ${dtype}; leave out one of them`,
    );
}

async function readConfig(folder: Folder): Promise<Gpt2Config> {
  const where = `${folder.name}/${CONFIG}`;
  if (!(await folder.has(CONFIG)))
    throw new BaxError(`loadGpt2: ${folder.name} is not a model directory: it has no ${CONFIG}`);
  const json = parseJson(await folder.readText(CONFIG, MAX_CONFIG_BYTES), {
    where,
    maxBytes: MAX_CONFIG_BYTES,
  });
  if (!isJsonObject(json)) throw new BaxError(`${where}: expected a JSON object`);
  if (json['model_type'] === undefined)
    throw new BaxError(`${where}: has no model_type; a GPT-2 directory says "gpt2"`);
  return gpt2Config(json, where);
}

async function assemble(config: Gpt2Config, file: Safetensors, options: LoadOptions): Promise<Gpt2> {
  const names = new Map<string, string>();
  for (const name of file.tensors.keys()) {
    if (isMaskBuffer(name)) continue;
    const path = /^(transformer|lm_head)\./.test(name) ? name : `transformer.${name}`;
    if (names.has(path))
      throw new BaxError(`loadGpt2: ${file.name} holds ${path} twice, with its prefix and without`);
    names.set(path, name);
  }
  if (config.tie_word_embeddings) names.delete('lm_head.weight'); // some writers store the tied head again
  const wanted: { path: string; stored: string; shape: readonly number[] }[] = [];
  const { dtype = 'f32', storage = dtype, backend = getBackend() } = options;
  // First every name and shape, then the first byte of data: a wrong file costs nothing.
  dryRun(config, (path, shape) => {
    const stored = names.get(path);
    if (stored === undefined) throw new BaxError(`loadGpt2: ${file.name} lacks ${path} ${showShape(shape)}`);
    const found = file.tensors.get(stored)!.shape;
    if (!sameShape(found, shape))
      throw new BaxError(
        `loadGpt2: ${file.name}: ${path} is ${showShape(found)}, config.json asks for ${showShape(shape)}`,
      );
    wanted.push({ path, stored, shape });
    names.delete(path);
  });
  if (names.size > 0)
    throw new BaxError(
      `loadGpt2: ${file.name} holds ${names.size} tensors that GPT-2 has not: ${[...names.values()].slice(0, 5).join(', ')}`,
    );
  const loaded = new Map<string, Tensor>();
  try {
    const total = wanted.reduce((n, w) => n + file.tensors.get(w.stored)!.bytes, 0);
    let done = 0;
    for (const { path, stored, shape } of wanted) {
      options.signal?.throwIfAborted();
      const held = shape.length === 2 ? storage : dtype; // vectors are norms and biases
      loaded.set(path, keep(fromHost(await file.readFloat(stored, held), shape, held, { backend })));
      done += file.tensors.get(stored)!.bytes;
      options.onProgress?.({ done, total });
    }
    return new Gpt2(config, (path) => loaded.get(path)!);
  } catch (error) {
    for (const t of loaded.values()) t.dispose();
    throw error;
  }
}

/** Calls `see` with the path and shape of every parameter that a model of this configuration has. */
function dryRun(config: Gpt2Config, see: (path: string, shape: readonly number[]) => void): void {
  const { vocab_size: v, n_positions: p, n_embd: d, n_layer, n_inner } = config;
  const inner = n_inner ?? 4 * d;
  see('transformer.wte.weight', [v, d]);
  see('transformer.wpe.weight', [p, d]);
  for (let i = 0; i < n_layer; i++) {
    const parts: [string, number[]][] = [
      ['ln_1.weight', [d]], ['ln_1.bias', [d]], ['attn.c_attn.weight', [d, 3 * d]], ['attn.c_attn.bias', [3 * d]],
      ['attn.c_proj.weight', [d, d]], ['attn.c_proj.bias', [d]], ['ln_2.weight', [d]], ['ln_2.bias', [d]],
      ['mlp.c_fc.weight', [d, inner]], ['mlp.c_fc.bias', [inner]], ['mlp.c_proj.weight', [inner, d]], ['mlp.c_proj.bias', [d]],
    ]; // prettier-ignore
    for (const [name, shape] of parts) see(`transformer.h.${i}.${name}`, shape);
  }
  see('transformer.ln_f.weight', [d]);
  see('transformer.ln_f.bias', [d]);
  if (!config.tie_word_embeddings) see('lm_head.weight', [v, d]);
}

/** What rounds to infinity when stored. */
const TOO_LARGE = { F64: Infinity, F32: 2 ** 128 - 2 ** 103, BF16: 2 ** 128 - 2 ** 119, F16: 65520 };

const BYTES = { F64: 8, F32: 4, F16: 2, BF16: 2 } as const;

export interface SaveOptions {
  /** What to store, however the weights are held; on their way to F16 or BF16 they are rounded once, to nearest even. Default F32. */
  readonly dtype?: 'F32' | 'F16' | 'BF16' | 'F64';
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/**
 * Writes config.json and model.safetensors as `transformers` reads them. Each file is replaced whole or not at all.
 * @throws if a weight is not finite, as it would be stored, or the model has an adapter that is not merged.
 */
export async function saveGpt2(
  model: Gpt2,
  folder: WritableFolder,
  { dtype = 'F32', signal, onProgress }: SaveOptions = {},
): Promise<void> {
  checkFolder('saveGpt2', folder);
  const parameters = [...model.namedParameters()];
  const known = new Set<string>();
  dryRun(model.config, (path) => known.add(path));
  const other = parameters.find(([name]) => !known.has(name));
  if (other)
    throw new BaxError(
      `saveGpt2: the model holds ${other[0]}, which GPT-2 has not; merge its adapter first, or save that with saveAdapter`,
    );
  const total = model.parameterCount * BYTES[dtype];
  let done = 0;
  const tensors = parameters.map(([name, t]) => {
    const data = async (): ReturnType<typeof encode> => {
      const encoded = await encode(name, t, dtype, signal);
      onProgress?.({ done: (done += encoded.byteLength), total });
      return encoded;
    };
    return { name, dtype, shape: t.shape, data } as TensorToWrite;
  });
  await writeSafetensors(folder, WEIGHTS, tensors, { metadata: { format: 'pt' }, atLeastOne: true });
  const config = {
    architectures: ['GPT2LMHeadModel'],
    model_type: 'gpt2',
    torch_dtype: { F32: 'float32', F16: 'float16', BF16: 'bfloat16', F64: 'float64' }[dtype],
    ...model.config,
  };
  await folder.write(CONFIG, [new TextEncoder().encode(`${JSON.stringify(config, null, 2)}\n`)]);
}

async function encode(
  name: string,
  t: Tensor,
  dtype: NonNullable<SaveOptions['dtype']>,
  signal: AbortSignal | undefined,
): Promise<Float32Array | Float64Array | Uint16Array> {
  signal?.throwIfAborted();
  const data = await t.data();
  if (!data.every((x) => Math.abs(x) < TOO_LARGE[dtype]))
    throw new BaxError(`saveGpt2: ${name} holds values that are not finite as ${dtype}; nothing was written`);
  if (dtype === 'F64') return Float64Array.from(data);
  if (dtype === 'F32') return data instanceof Float32Array ? data : Float32Array.from(data);
  return narrowed(dtype === 'F16' ? 'f16' : 'bf16', data);
}
