import { BaxError } from '@bax/core';
import {
  ARRAYS,
  DTYPES,
  MAX_HEADER,
  type SafetensorsArrays,
  type SafetensorsDtype,
  brief,
  countOf,
} from './safetensors-header.ts';
import type { WritableFolder } from './source.ts';

/** A tensor to be written; `data` may be a function, called when its turn comes, so that not all are held at once. */
export type TensorToWrite = {
  [D in SafetensorsDtype]: {
    readonly name: string;
    readonly dtype: D;
    readonly shape: readonly number[];
    readonly data: SafetensorsArrays[D] | (() => SafetensorsArrays[D] | Promise<SafetensorsArrays[D]>);
  };
}[SafetensorsDtype];

export interface SafetensorsOptions {
  readonly metadata?: Readonly<Record<string, string>>;
  /** Refuse to write a file without tensors. */
  readonly atLeastOne?: boolean;
}

/**
 * Writes a .safetensors file into `folder`, one tensor at a time and all or nothing, laid out as the reference library
 * does: by dtype, widest first, then by name. Resolves to the size of the file: 8 + header + the tensors' bytes.
 * Rejects with a `BaxError` for duplicate names, the name `__metadata__`, and data that its dtype and shape do not fit.
 * https://github.com/huggingface/safetensors/blob/main/safetensors/src/tensor.rs
 */
export async function writeSafetensors(
  folder: Pick<WritableFolder, 'write'>,
  file: string,
  tensors: readonly TensorToWrite[],
  options: SafetensorsOptions = {},
): Promise<number> {
  const where = `writeSafetensors: ${file}`;
  const { sorted, header, bytes } = layOut(tensors, options, where);
  async function* chunks(): AsyncGenerator<Uint8Array> {
    yield header;
    for (const tensor of sorted) yield bytesOf(tensor, await dataOf(tensor), where);
  }
  return folder.write(file, chunks(), bytes);
}

/** The same file as bytes in memory. Throws as `writeSafetensors` rejects; `data` must be arrays, not functions. */
export function encodeSafetensors(
  tensors: readonly TensorToWrite[],
  options: SafetensorsOptions = {},
): Uint8Array {
  const { sorted, header, bytes } = layOut(tensors, options, 'encodeSafetensors');
  const file = new Uint8Array(bytes);
  file.set(header);
  let at = header.byteLength;
  for (const tensor of sorted) {
    const content = bytesOf(tensor, tensor.data, 'encodeSafetensors');
    file.set(content, at);
    at += content.byteLength;
  }
  return file;
}

interface Layout {
  readonly sorted: readonly TensorToWrite[];
  /** The length and the JSON, padded. */
  readonly header: Uint8Array;
  /** Of the whole file. */
  readonly bytes: number;
}

function layOut(tensors: readonly TensorToWrite[], options: SafetensorsOptions, where: string): Layout {
  if (options.atLeastOne && tensors.length === 0) throw new BaxError(`${where}: there is no tensor to write`);
  const sorted = sort(tensors, where);
  // Joined by hand: an object would put keys that look like numbers first.
  const members: string[] = [];
  if (options.metadata) members.push(`"__metadata__":${metadataJson(options.metadata, where)}`);
  let end = 0;
  for (const { name, dtype, shape } of sorted) {
    const begin = end;
    end += spanOf(dtype, shape, `${where}: tensor '${brief(name)}'`);
    const offsets = `[${begin},${end}]`;
    members.push(
      `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape.join(',')}],"data_offsets":${offsets}}`,
    );
  }
  const json = new TextEncoder().encode(`{${members.join(',')}}`);
  const padded = Math.ceil(json.byteLength / 8) * 8;
  if (padded > MAX_HEADER)
    throw new BaxError(`${where}: the header takes ${padded} bytes; readers allow ${MAX_HEADER}`);
  const header = new Uint8Array(8 + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(json, 8);
  return { sorted, header, bytes: header.byteLength + end };
}

function sort(tensors: readonly TensorToWrite[], where: string): TensorToWrite[] {
  const seen = new Set<string>();
  for (const { name, dtype } of tensors) {
    const tensor = `${where}: tensor '${brief(name)}'`;
    if (name === '__metadata__')
      throw new BaxError(`${tensor}: this name is taken by the format; pass it as metadata`);
    if (seen.has(name)) throw new BaxError(`${tensor} is given twice`);
    if (!DTYPES.includes(dtype))
      throw new BaxError(`${tensor} has dtype '${dtype}'; known are ${DTYPES.join(', ')}`);
    checkText(name, tensor);
    seen.add(name);
  }
  const keyed = tensors.map((tensor) => ({
    tensor,
    rank: DTYPES.indexOf(tensor.dtype),
    name: codePoints(tensor.name),
  }));
  keyed.sort((a, b) => a.rank - b.rank || (a.name < b.name ? -1 : 1));
  return keyed.map(({ tensor }) => tensor);
}

/**
 * A string that sorts, by JavaScript's order of 16-bit units, as `text` does by code points, which is the order of its
 * UTF-8 bytes: surrogates (D800 to DFFF) change places with E000 to FFFF.
 */
function codePoints(text: string): string {
  return text.replace(/[\ud800-\uffff]/g, (unit) => {
    const code = unit.charCodeAt(0);
    return String.fromCharCode(code < 0xe000 ? code + 0x2000 : code - 0x800);
  });
}

function metadataJson(metadata: Readonly<Record<string, string>>, where: string): string {
  for (const [key, text] of Object.entries(metadata)) {
    if (typeof text !== 'string') throw new BaxError(`${where}: metadata '${brief(key)}' is not a string`);
    checkText(key + text, `${where}: metadata '${brief(key)}'`);
  }
  return JSON.stringify(metadata);
}

function checkText(text: string, where: string): void {
  if (/\p{Surrogate}/u.test(text))
    throw new BaxError(`${where} has half of a character in it, which UTF-8 cannot hold`);
}

function spanOf(dtype: SafetensorsDtype, shape: readonly number[], where: string): number {
  const whole = shape.every((length) => Number.isSafeInteger(length) && length >= 0);
  const bytes = whole ? (countOf(shape) ?? Number.NaN) * ARRAYS[dtype].BYTES_PER_ELEMENT : Number.NaN;
  if (!Number.isSafeInteger(bytes))
    throw new BaxError(`${where} has a shape that cannot be: [${shape.join(', ')}]`);
  return bytes;
}

const dataOf = async ({ data }: TensorToWrite): Promise<unknown> =>
  typeof data === 'function' ? data() : data;

/** The bytes of a tensor's data, once it is what its dtype and shape say. */
function bytesOf(tensor: TensorToWrite, data: unknown, where: string): Uint8Array {
  const { name, dtype, shape } = tensor;
  const wanted = ARRAYS[dtype].name;
  const kind = Object.prototype.toString.call(data).slice(8, -1); // holds across realms, where instanceof does not
  if (!ArrayBuffer.isView(data) || kind !== wanted) {
    throw new BaxError(
      `${where}: tensor '${brief(name)}': ${dtype} is written from a ${wanted}, not from ${kind}`,
    );
  }
  const bytes = spanOf(dtype, shape, where);
  if (data.byteLength !== bytes) {
    const size = ARRAYS[dtype].BYTES_PER_ELEMENT;
    const counts = `has ${bytes / size} elements, its data ${data.byteLength / size}`;
    throw new BaxError(`${where}: tensor '${brief(name)}': shape [${shape.join(', ')}] ${counts}`);
  }
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
