// The head of a .safetensors file:
//
//   8 bytes   N, little-endian
//   N bytes   JSON: { "__metadata__"?: { text: text }, name: { dtype, shape, data_offsets: [begin, end] }, ... }
//   the rest  the tensors' bytes, little-endian, row-major, from offset 0 on, without holes
//
// https://github.com/huggingface/safetensors#format. The file may come from a stranger, so nothing that it says is
// believed before it is checked: no rule below allocates more than the header is long.
import { BaxError } from '@bax/core';
import { type Json, isJsonObject, parseJson } from './json.ts';

/** The array that holds each dtype; F16 and BF16 as their raw patterns, BOOL as 0 and 1. */
export interface SafetensorsArrays {
  F64: Float64Array;
  F32: Float32Array;
  F16: Uint16Array;
  BF16: Uint16Array;
  I64: BigInt64Array;
  U64: BigUint64Array;
  I32: Int32Array;
  U32: Uint32Array;
  I16: Int16Array;
  U16: Uint16Array;
  I8: Int8Array;
  U8: Uint8Array;
  BOOL: Uint8Array;
}
export type SafetensorsDtype = keyof SafetensorsArrays;

interface ArrayType<A> {
  readonly BYTES_PER_ELEMENT: number;
  readonly name: string;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): A;
}

/** Widest alignment first: the reference library lays a file out in this order. */
export const ARRAYS: { readonly [D in SafetensorsDtype]: ArrayType<SafetensorsArrays[D]> } = {
  U64: BigUint64Array,
  I64: BigInt64Array,
  F64: Float64Array,
  F32: Float32Array,
  U32: Uint32Array,
  I32: Int32Array,
  BF16: Uint16Array,
  F16: Uint16Array,
  U16: Uint16Array,
  I16: Int16Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
};
export const DTYPES: readonly SafetensorsDtype[] = Object.keys(ARRAYS) as SafetensorsDtype[];

/** The longest header that the reference library reads. */
export const MAX_HEADER = 100_000_000;

export interface SafetensorsEntry {
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  /** Where its bytes begin, from the start of the file. */
  readonly offset: number;
  /** How many bytes it has. */
  readonly bytes: number;
}

/** Elements of a shape of whole numbers, or undefined if they are too many to be counted exactly. */
export function countOf(shape: readonly number[]): number | undefined {
  let count = 1;
  for (const length of shape) {
    count *= length;
    if (!Number.isSafeInteger(count)) return undefined;
  }
  return count;
}

/**
 * N, from the first 8 bytes of a file of `fileSize` bytes.
 * Throws a `BaxError` for a header that is too long, too short or past the end of the file.
 */
export function headerLength(first: Uint8Array, fileSize: number, file: string): number {
  const view = new DataView(first.buffer, first.byteOffset, first.byteLength);
  const length = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  if (length > MAX_HEADER) {
    throw new BaxError(`safetensors: ${file}: a header of ${length} bytes; is this a .safetensors file?`);
  }
  if (length < 2)
    throw new BaxError(`safetensors: ${file}: a header of ${length} bytes is too short to be one`);
  if (8 + length > fileSize) {
    throw new BaxError(
      `safetensors: ${file}: the header ends at byte ${8 + length}, past the end of the file (${fileSize} bytes)`,
    );
  }
  return length;
}

export interface SafetensorsHeader {
  /** In the order of their bytes. */
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Reads and checks the JSON of a file of `fileSize` bytes.
 * Throws a `BaxError` that names the file and the tensor for whatever the format does not allow.
 */
export function parseHeader(header: Uint8Array, fileSize: number, file: string): SafetensorsHeader {
  const where = `safetensors: ${file}`;
  if (header[0] !== 0x7b) throw new BaxError(`${where}: the header does not begin with '{'`);
  const json = parseJson(header, { where: `${where}: header`, maxBytes: MAX_HEADER, maxDepth: 3 });
  if (!isJsonObject(json)) throw new BaxError(`${where}: the header is not an object`);

  let metadata: Record<string, string> = Object.create(null);
  const entries: [string, SafetensorsEntry][] = [];
  for (const [name, value] of Object.entries(json)) {
    if (name === '__metadata__') metadata = checkMetadata(value, where);
    else
      entries.push([
        name,
        checkEntry(value, 8 + header.byteLength, fileSize, `${where}: tensor '${brief(name)}'`),
      ]);
  }
  entries.sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);
  checkCover(entries, 8 + header.byteLength, fileSize, where);
  return { tensors: new Map(entries), metadata };
}

function checkMetadata(value: Json, where: string): Record<string, string> {
  if (!isJsonObject(value)) throw new BaxError(`${where}: __metadata__ is not an object`);
  const metadata: Record<string, string> = Object.create(null);
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string')
      throw new BaxError(`${where}: __metadata__ '${brief(key)}' is not a string`);
    metadata[key] = text;
  }
  return metadata;
}

function checkEntry(value: Json, start: number, fileSize: number, where: string): SafetensorsEntry {
  if (!isJsonObject(value)) throw new BaxError(`${where} is not described by an object`);
  const dtype = DTYPES.find((known) => known === value.dtype);
  if (!dtype) throw new BaxError(`${where} has dtype ${show(value.dtype)}; known are ${DTYPES.join(', ')}`);

  const shape = wholeNumbers(value.shape);
  const size = shape && countOf(shape);
  if (!shape || size === undefined) {
    throw new BaxError(
      `${where} has shape ${show(value.shape)}: not whole numbers with a product below 2^53`,
    );
  }
  const offsets = wholeNumbers(value.data_offsets);
  if (offsets?.length !== 2) {
    throw new BaxError(`${where} has data_offsets ${show(value.data_offsets)}: not two whole numbers`);
  }
  const [begin, end] = offsets;
  if (begin > end)
    throw new BaxError(`${where} begins at byte ${start + begin} and ends before it, at ${start + end}`);
  if (end > fileSize - start) {
    throw new BaxError(`${where} ends at byte ${start + end}, past the end of the file (${fileSize} bytes)`);
  }
  const bytes = size * ARRAYS[dtype].BYTES_PER_ELEMENT; // exact: a power of two
  if (bytes !== end - begin) {
    throw new BaxError(
      `${where}: ${dtype} ${show(shape)} takes ${bytes} bytes; its data_offsets span ${end - begin}`,
    );
  }
  return { dtype, shape, offset: start + begin, bytes };
}

/** The tensors, in order, must follow on one another from the header to the end of the file. */
function checkCover(
  entries: readonly [string, SafetensorsEntry][],
  start: number,
  fileSize: number,
  where: string,
): void {
  let end = start;
  for (const [name, { offset, bytes }] of entries) {
    if (offset < end)
      throw new BaxError(`${where}: tensor '${brief(name)}' overlaps the one before it at byte ${offset}`);
    if (offset > end) throw new BaxError(`${where}: bytes ${end} to ${offset} belong to no tensor`);
    end = offset + bytes;
  }
  if (end < fileSize)
    throw new BaxError(`${where}: bytes ${end} to ${fileSize}, the end of the file, belong to no tensor`);
}

function wholeNumbers(value: Json | undefined): readonly number[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const whole = value.every((item) => typeof item === 'number' && Number.isSafeInteger(item) && item >= 0);
  return whole ? (value as number[]).map((item) => item + 0) : undefined; // -0 becomes 0
}

/** As much of a stranger's text as an error message should hold. */
export const brief = (text: string): string => (text.length > 100 ? `${text.slice(0, 100)}...` : text);
const show = (value: unknown): string => brief(JSON.stringify(value) ?? 'undefined');
