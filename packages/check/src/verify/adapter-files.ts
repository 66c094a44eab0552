/** An adapter's two files, read by themselves: what they hold is looked at before it is believed to be an adapter. */
import { BaxError } from '@bax/core';
import { type Folder, isJsonObject, type JsonObject, openSafetensors, parseJson, type Safetensors } from '@bax/nn'; // prettier-ignore
import { CheckError } from '../errors.ts';
import { firstInfinite } from '../finite.ts';

const CONFIG = 'adapter_config.json';
export const WEIGHTS = 'adapter_model.safetensors';
const MAX_BYTES = 1 << 20;

/** A pair of factors of one module, as it lies in the file. */
export interface StoredPair {
  readonly path: string;
  readonly names: { readonly A: string; readonly B: string };
  readonly A: readonly number[];
  readonly B: readonly number[];
}
export interface AdapterFile {
  readonly file: Safetensors;
  /** Bytes of it. */
  readonly size: number;
  readonly pairs: readonly StoredPair[];
  /** Numbers of factors and of DoRA's lengths. */
  readonly lora: number;
  /** Numbers of what is trained whole. */
  readonly whole: number;
}

const missing = async (folder: Folder, name: string, hint: string): Promise<void> => {
  if (!(await folder.has(name))) throw new CheckError(`${folder.name} has no ${name}; ${hint}`);
};

export async function readConfig(folder: Folder): Promise<JsonObject> {
  await missing(folder, CONFIG, "save it with PEFT's save_pretrained, or with saveAdapter");
  const where = `${folder.name}/${CONFIG}`;
  const json = parseJson(await folder.readText(CONFIG, MAX_BYTES), { where, maxBytes: MAX_BYTES });
  if (!isJsonObject(json)) throw new CheckError(`${where}: expected a JSON object`);
  if (json['peft_type'] !== 'LORA')
    throw new CheckError(`${where}: peft_type is ${JSON.stringify(json['peft_type'])}; LoRA's is "LORA"`);
  return json;
}

export async function openWeights(folder: Folder): Promise<{ file: Safetensors; size: number }> {
  const old = (await folder.has('adapter_model.bin')) ? 'it has adapter_model.bin: save it again with safe_serialization=True' : 'the adapter was not saved, or not whole'; // prettier-ignore
  await missing(folder, WEIGHTS, old);
  const source = await folder.open(WEIGHTS);
  try {
    return { file: await openSafetensors(source), size: source.size };
  } catch (error) {
    await source.close();
    throw error;
  }
}

const FACTOR = /^(?:base_model\.model\.)?(.+)\.lora_(?:(embedding)_([AB])|([AB])\.weight)$/;
const isLora = (name: string): boolean => /(^|\.)lora_/.test(name);
const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** The pairs that a file holds. @throws CheckError if a factor lacks its partner, or there is none at all. */
export function pairsOf(file: Safetensors, size: number): AdapterFile {
  const factors = new Map<string, Partial<Record<'A' | 'B', string>>>();
  for (const name of file.tensors.keys()) {
    const match = FACTOR.exec(name);
    if (!match) continue;
    const which = (match[3] ?? match[4]) as 'A' | 'B';
    factors.set(match[1]!, { ...factors.get(match[1]!), [which]: name });
  }
  const pairs = [...factors].map(([path, { A, B }]): StoredPair => {
    if (A === undefined || B === undefined) {
      const here = (A ?? B)!;
      const partner = here.replace(/lora_(embedding_)?[AB]/, (all) => all.slice(0, -1) + (A ? 'B' : 'A'));
      throw new CheckError(`${path} has '${here}' but lacks '${partner}'`);
    }
    return { path, names: { A, B }, A: file.tensors.get(A)!.shape, B: file.tensors.get(B)!.shape };
  });
  const numbers = (of: (name: string) => boolean): number =>
    [...file.tensors].reduce((n, [name, { shape }]) => n + (of(name) ? sizeOf(shape) : 0), 0);
  if (file.tensors.size === 0)
    throw new CheckError(
      `${file.name} is empty: it holds no tensor, so loading it would silently give the base`,
    );
  return { file, size, pairs, lora: numbers(isLora), whole: numbers((name) => !isLora(name)) };
}

/** Every tensor's numbers. @throws CheckError at the first that is not finite. */
export async function assertFinite(file: Safetensors): Promise<void> {
  for (const [name, { dtype, shape }] of file.tensors) {
    if (!['F64', 'F32', 'F16', 'BF16'].includes(dtype))
      throw new BaxError(`'${name}' holds ${dtype}, not floats`);
    const bad = firstInfinite(await file.readFloat(name, 'f64'), shape);
    if (bad !== undefined) throw new CheckError(`'${name}' is ${bad}`);
  }
}
