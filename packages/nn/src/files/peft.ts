/**
 * Adapters in PEFT's format: adapter_config.json and adapter_model.safetensors, both ways.
 * https://github.com/huggingface/peft/blob/main/docs/source/developer_guides/checkpoint.md
 */
import { BaxError, fromHost, keep, sameShape, showShape } from '@bax/core';
import { Conv1D } from '../layers/conv1d.ts';
import type { OutputSlice } from '../layers/linear.ts';
import { attachFactors, type LoraModel } from '../lora/attach.ts';
import { loraConfig } from '../lora/config.ts';
import type { LoraLinear } from '../lora/lora-linear.ts';
import { planOf } from '../lora/plan.ts';
import { matches, targetsOf, type Target } from '../lora/targets.ts';
import type { Module } from '../module.ts';
import { isJsonObject, parseJson, type JsonObject } from './json.ts';
import { readPeftConfig, peftConfig, type PeftConfig } from './peft-config.ts';
import { openSafetensors, type Safetensors } from './safetensors.ts';
import { writeSafetensors, type TensorToWrite } from './safetensors-write.ts';
import type { Folder, WritableFolder } from './source.ts';

const CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';
const MAX_BYTES = 1 << 20;
const PREFIX = 'base_model.model.';
/** The key under which our own facts stand in the weights file's metadata, as JSON. PEFT ignores it. */
const OURS = 'bax';

interface SliceRecord extends OutputSlice {
  readonly name: string;
  readonly r: number;
  readonly alpha: number;
}
/** Which PEFT modules were made of slices: module path → its slices in order. */
type SliceMap = Record<string, SliceRecord[]>;

export interface SaveAdapterOptions {
  /** What PEFT shall call the base model: a Hub name or a directory. */
  readonly baseModel?: string | undefined;
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
 * Writes the adapter so that PEFT loads it to the same logits. The weights come first and the configuration last, each
 * replaced whole or not at all.
 * @throws if a factor is not finite; then nothing was written.
 */
export async function saveAdapter<M extends Module>(
  lora: LoraModel<M>,
  folder: WritableFolder,
  { baseModel }: SaveAdapterOptions = {},
): Promise<SavedAdapter> {
  const modules = new Map<string, PeftModule>();
  const slices: SliceMap = {};
  for (const [path, layer] of lora.layers) {
    modules.set(path, await toPeft(path, layer));
    const own = layer.branches.flatMap((b) => (b.slice ? [{ ...b.slice, r: b.r, alpha: b.alpha }] : []));
    if (own.length > 0) slices[path] = own;
  }
  const tensors = [...modules].flatMap(([path, m]): TensorToWrite[] => [
    { name: `${PREFIX}${path}.lora_A.weight`, dtype: 'F32', shape: [m.r, m.in], data: m.A },
    { name: `${PREFIX}${path}.lora_B.weight`, dtype: 'F32', shape: [m.out, m.r], data: m.B },
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
    ...(Object.keys(slices).length > 0 ? { [OURS]: JSON.stringify({ version: 1, slices }) } : {}),
  };
  const bytes = await writeSafetensors(folder, WEIGHTS, tensors, { metadata, atLeastOne: true });
  await folder.write(CONFIG, [new TextEncoder().encode(JSON.stringify(config, null, 2))]);
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

export interface LoadedAdapter<M extends Module> {
  readonly lora: LoraModel<M>;
  /** Keys of adapter_config.json that bax does not know, and that were ignored. */
  readonly unknownKeys: readonly string[];
  /** What deserves a look: e.g. every B is zero, so that the adapter changes nothing. */
  readonly warnings: readonly string[];
}

/**
 * Loads an adapter that PEFT or `saveAdapter` wrote and attaches it to `model`. All or nothing.
 * @throws if a file is missing or broken, the configuration asks for maths that bax has not, a target matches nothing,
 * or a tensor is missing, left over or misshaped; the message names it.
 */
export async function loadAdapter<M extends Module>(model: M, folder: Folder): Promise<LoadedAdapter<M>> {
  for (const name of [CONFIG, WEIGHTS])
    if (!(await folder.has(name)))
      throw new BaxError(`loadAdapter: ${folder.name} is not an adapter: it has no ${name}`);
  const where = `${folder.name}/${CONFIG}`;
  const json = parseJson(await folder.readText(CONFIG, MAX_BYTES), { where, maxBytes: MAX_BYTES });
  if (!isJsonObject(json)) throw new BaxError(`${where}: expected a JSON object`);
  const config = readPeftConfig(json, where);
  const file = await openSafetensors(await folder.open(WEIGHTS));
  try {
    return await attachFile(model, config, file);
  } finally {
    await file.close();
  }
}

async function attachFile<M extends Module>(
  model: M,
  config: PeftConfig,
  file: Safetensors,
): Promise<LoadedAdapter<M>> {
  const stored = storedModules(file);
  const layers = targetsOf(model).filter(({ slice }) => !slice);
  const meant = layers.filter(({ path }) => config.targets(path));
  for (const { path } of meant)
    if (!stored.has(path))
      throw new BaxError(`loadAdapter: ${file.name} has no tensors for ${path}, which target_modules names`);
  const slices = readSlices(file);
  const stray = Object.keys(slices).find((path) => !stored.has(path));
  if (stray !== undefined)
    throw new BaxError(
      `loadAdapter: ${file.name}: metadata '${OURS}' records slices of ${stray}, of which the file holds no tensors`,
    );
  const chosen: { target: Target; r: number; alpha: number }[] = [];
  for (const path of stored) {
    const layer = layers.find((l) => l.path === path);
    if (!layer)
      throw new BaxError(
        `loadAdapter: ${file.name} holds tensors for ${path}, which the model has not as a linear layer`,
      );
    if (!meant.includes(layer))
      throw new BaxError(
        `loadAdapter: ${file.name} holds tensors for ${path}, which target_modules does not name`,
      );
    const { r, alpha } = config.rankOf(path);
    const shapeOf = (factor: 'A' | 'B'): readonly number[] =>
      file.tensors.get(`${PREFIX}${path}.lora_${factor}.weight`)!.shape;
    const { inFeatures: k, outFeatures: out } = layer.layer;
    if (!sameShape(shapeOf('A'), [r, k]))
      throw new BaxError(
        `loadAdapter: lora_A of ${path} is ${showShape(shapeOf('A'))}, expected [r, in] = ${showShape([r, k])}`,
      );
    if (!sameShape(shapeOf('B'), [out, r]))
      throw new BaxError(
        `loadAdapter: lora_B of ${path} is ${showShape(shapeOf('B'))}, expected [out, r] = ${showShape([out, r])}`,
      );
    const own = slices[path];
    if (!own) chosen.push({ target: layer, r, alpha });
    else {
      checkSlices(path, own, layer, { r, alpha });
      for (const s of own)
        chosen.push({
          target: {
            ...layer,
            path: `${path}.${s.name}`,
            slice: { name: s.name, start: s.start, length: s.length },
          },
          r: s.r,
          alpha: s.alpha,
        });
    }
  }
  const dtype = layers[0]!.layer.weight.dtype as 'f32' | 'f64';
  const data = new Map<string, Float32Array | Float64Array>();
  for (const path of stored)
    for (const f of ['A', 'B'])
      data.set(`${path}.${f}`, await readFactor(file, `${PREFIX}${path}.lora_${f}.weight`, dtype));
  const plan = planOf(
    model,
    {
      ...loraConfig({ dropout: config.dropout }),
      r: config.r,
      alpha: config.alpha,
      targets: chosen.map(({ target }) => target.path),
    },
    chosen,
  );
  for (const path of stored) if (slices[path]) checkBlocks(path, slices[path], data.get(`${path}.B`)!);
  const lora = attachFactors(model, plan, ({ modulePath, slice, layer, in: k }, factor, shape) => {
    const whole = data.get(`${modulePath}.${factor}`)!;
    const values = slice ? block(whole, slices[modulePath]!, slice.name, factor, k) : whole;
    return keep(fromHost(values, shape, dtype, { backend: layer.weight.backend }));
  });
  const zero = [...data]
    .filter(([name]) => name.endsWith('.B'))
    .every(([, values]) => values.every((v) => v === 0));
  return {
    lora,
    unknownKeys: config.unknownKeys,
    warnings: zero ? ['every B is zero: this adapter was never trained and changes nothing'] : [],
  };
}

/** The modules of which A and B are there. @throws on a tensor that is neither, or one without its partner. */
function storedModules(file: Safetensors): Set<string> {
  const found = new Set<string>();
  for (const name of file.tensors.keys()) {
    const match = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/.exec(name);
    if (!match)
      throw new BaxError(`loadAdapter: ${file.name}: '${name}' is not a LoRA tensor that bax knows`);
    const partner = `${PREFIX}${match[1]}.lora_${match[2] === 'A' ? 'B' : 'A'}.weight`;
    if (!file.tensors.has(partner))
      throw new BaxError(`loadAdapter: ${file.name} has '${name}' but lacks '${partner}'`);
    found.add(match[1]!);
  }
  if (found.size === 0)
    throw new BaxError(
      `loadAdapter: ${file.name} is empty: it holds no tensor, so loading it would silently give the base model`,
    );
  return found;
}

async function readFactor(
  file: Safetensors,
  name: string,
  dtype: 'f32' | 'f64',
): Promise<Float32Array | Float64Array> {
  const values =
    file.tensors.get(name)!.dtype === 'F64'
      ? Float64Array.from(await file.readFloat(name, 'f64'))
      : await file.readFloat(name, dtype);
  if (!values.every(Number.isFinite))
    throw new BaxError(`loadAdapter: ${file.name}: '${name}' holds values that are not finite`);
  return dtype === 'f32' ? Float32Array.from(values) : Float64Array.from(values);
}

function readSlices(file: Safetensors): SliceMap {
  const text = file.metadata[OURS];
  if (text === undefined) return {};
  const json = parseJson(text, { where: `${file.name}: metadata '${OURS}'`, maxBytes: MAX_BYTES });
  const slices = isJsonObject(json) ? json['slices'] : undefined;
  if (!isJsonObject(slices) || (json as JsonObject)['version'] !== 1)
    throw new BaxError(`loadAdapter: ${file.name}: metadata '${OURS}' is not of version 1`);
  return slices as unknown as SliceMap;
}

function checkSlices(
  path: string,
  own: readonly SliceRecord[],
  { layer }: Target,
  sum: { r: number; alpha: number },
): void {
  const wrong = (why: string): never => {
    throw new BaxError(
      `loadAdapter: the slices recorded for ${path} ${why}; the file was changed after it was saved`,
    );
  };
  const isRecord = (s: SliceRecord | null): boolean =>
    typeof s?.name === 'string' && typeof s.alpha === 'number';
  if (!Array.isArray(own) || own.length === 0 || !own.every(isRecord)) wrong('are no list of slices');
  for (const s of own) {
    const known = Object.hasOwn(layer.slices, s.name) ? layer.slices[s.name] : undefined;
    if (!known || known.start !== s.start || known.length !== s.length)
      wrong(`name '${s.name}', which the model's layer has not there`);
    if (!Number.isSafeInteger(s.r) || s.r < 1) wrong(`have a rank of ${s.r}`);
    const [scale, whole] = [s.alpha / s.r, sum.alpha / sum.r];
    if (!(s.alpha > 0 && Math.abs(scale - whole) <= 2 ** -50 * whole))
      // the sum of some α is rounded
      wrong('have another scale than its α/r');
  }
  if (own.reduce((n, s) => n + s.r, 0) !== sum.r) wrong(`have ranks that do not sum to ${sum.r}`);
}

/** Outside of its block every number of B' must be 0, or the slices would not be the adapter that was saved. */
function checkBlocks(path: string, own: readonly SliceRecord[], B: Float32Array | Float64Array): void {
  const r = own.reduce((n, s) => n + s.r, 0);
  let rank = 0;
  const inside = new Set<number>();
  for (const s of own) {
    for (let i = 0; i < s.length; i++) for (let j = 0; j < s.r; j++) inside.add((s.start + i) * r + rank + j);
    rank += s.r;
  }
  if (B.some((v, i) => v !== 0 && !inside.has(i)))
    throw new BaxError(
      `loadAdapter: lora_B of ${path} is not zero outside of its slices; it was trained as a whole since. Remove the '${OURS}' metadata to load it so`,
    );
}

function block(
  whole: Float32Array | Float64Array,
  own: readonly SliceRecord[],
  name: string,
  factor: 'A' | 'B',
  k: number,
): Float32Array | Float64Array {
  const r = own.reduce((n, s) => n + s.r, 0);
  const index = own.findIndex((s) => s.name === name);
  const rank = own.slice(0, index).reduce((n, s) => n + s.r, 0);
  const { start, length, r: mine } = own[index]!;
  if (factor === 'A') return whole.slice(rank * k, (rank + mine) * k);
  return whole
    .slice(0, length * mine)
    .map((_, i) => whole[(start + Math.floor(i / mine)) * r + rank + (i % mine)]!);
}
