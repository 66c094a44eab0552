import { BaxError, bf16ToF32, f16ToF32, narrowed, type HalfFloat } from '@bax/core';
import {
  ARRAYS,
  type SafetensorsArrays,
  type SafetensorsDtype,
  type SafetensorsHeader,
  brief,
  headerLength,
  parseHeader,
} from './safetensors-header.ts';
import type { ByteSource, Folder } from './source.ts';

/** One tensor as it is stored; `dtype` tells the type of `data`. */
export type SafetensorsTensor = {
  [D in SafetensorsDtype]: {
    readonly dtype: D;
    readonly shape: readonly number[];
    readonly data: SafetensorsArrays[D];
  };
}[SafetensorsDtype];

/** What `readFloat` gives; f16 and bf16 as raw patterns. */
export interface FloatArrays {
  f32: Float32Array;
  f64: Float64Array;
  f16: Uint16Array;
  bf16: Uint16Array;
}

/** An open .safetensors file: its header is read and checked, its tensors are read when asked for, one at a time. */
export interface Safetensors extends SafetensorsHeader {
  /** The name of the source. */
  readonly name: string;
  /** A tensor as stored, in memory of its own. Rejects with a `BaxError` if there is none of that name. */
  read(tensor: string): Promise<SafetensorsTensor>;
  /**
   * A tensor of floats, widened without loss to 'f32' or 'f64' (F64 to 'f64' alone), or as 'f16' or 'bf16': the very bits if
   * it is stored so, else each number rounded once, to nearest even. Default 'f32'.
   * Rejects with a `BaxError` for an F64 tensor as 'f32', which would round, for a number that rounds to infinity, and for
   * integers.
   */
  readFloat<D extends keyof FloatArrays = 'f32'>(tensor: string, to?: D): Promise<FloatArrays[D]>;
  /** Closes the source. */
  close(): Promise<void>;
}

/**
 * Opens a .safetensors file. Reads only its header, whatever the size of the file.
 * Rejects with a `BaxError` for a file that breaks the format in any way: offsets that overlap, leave holes or lie
 * outside the file, sizes that do not fit the shape, duplicate names, a header over 100 MB.
 * https://github.com/huggingface/safetensors#format
 */
export async function openSafetensors(source: ByteSource): Promise<Safetensors> {
  const { name, size } = source;
  if (size < 8)
    throw new BaxError(`safetensors: ${name}: ${size} bytes are too short to be a .safetensors file`);
  const length = headerLength(await readAll(source, 0, 8), size, name);
  const { tensors, metadata } = parseHeader(await readAll(source, 8, length), size, name);

  async function read(tensor: string): Promise<SafetensorsTensor> {
    const entry = tensors.get(tensor);
    if (!entry) {
      const some = [...tensors.keys()].slice(0, 8).join(', ');
      throw new BaxError(
        `safetensors: ${name}: no tensor '${tensor}'; it holds ${tensors.size}: ${brief(some)}`,
      );
    }
    const { dtype, shape, offset, bytes } = entry;
    const stored = await readAll(source, offset, bytes);
    // A source may hand out a view into something larger, at any byte; an array type wants its own alignment.
    const aligned =
      stored.byteOffset % ARRAYS[dtype].BYTES_PER_ELEMENT === 0 ? stored : new Uint8Array(stored);
    const data = new ARRAYS[dtype](
      aligned.buffer,
      aligned.byteOffset,
      bytes / ARRAYS[dtype].BYTES_PER_ELEMENT,
    );
    return { dtype, shape, data } as SafetensorsTensor;
  }

  return {
    name,
    tensors,
    metadata,
    read,
    async readFloat<D extends keyof FloatArrays = 'f32'>(tensor: string, to?: D): Promise<FloatArrays[D]> {
      const floats = toFloat(await read(tensor), to ?? 'f32', `safetensors: ${name}: tensor '${tensor}'`);
      return floats as FloatArrays[D];
    },
    async close(): Promise<void> {
      await source.close();
    },
  };
}

/** The same of a folder's file, which is closed again if it is none. */
export async function openSafetensorsIn(folder: Folder, name: string): Promise<Safetensors> {
  const source = await folder.open(name);
  try {
    return await openSafetensors(source);
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function readAll(source: ByteSource, offset: number, length: number): Promise<Uint8Array> {
  const bytes = await source.read(offset, length);
  if (bytes.byteLength === length) return bytes;
  throw new BaxError(
    `safetensors: ${source.name}: asked for ${length} bytes at ${offset}, its source gave ${bytes.byteLength}`,
  );
}

function toFloat(
  tensor: SafetensorsTensor,
  to: keyof FloatArrays,
  where: string,
): FloatArrays[keyof FloatArrays] {
  const { dtype, data } = tensor;
  if (to === 'f16' || to === 'bf16')
    return (dtype === 'F16' && to === 'f16') || (dtype === 'BF16' && to === 'bf16')
      ? data
      : rounded(toFloat(tensor, dtype === 'F64' ? 'f64' : 'f32', where), to, where);
  if (dtype === 'F64') {
    if (to === 'f64') return data;
    throw new BaxError(`${where} is F64 and would be rounded to f32; read it as 'f64'`);
  }
  let floats: Float32Array;
  if (dtype === 'F32') floats = data;
  else if (dtype === 'F16') floats = f16ToF32(data);
  else if (dtype === 'BF16') floats = bf16ToF32(data);
  else throw new BaxError(`${where} holds ${dtype}, not floats; use read()`);
  return to === 'f32' ? floats : Float64Array.from(floats);
}

/** @throws if a number of the file becomes infinite. */
function rounded(numbers: FloatArrays[keyof FloatArrays], to: HalfFloat, where: string): Uint16Array {
  const raw = narrowed(to, numbers);
  const infinity = to === 'f16' ? 0x7c00 : 0x7f80;
  const lost = raw.findIndex((bits, i) => (bits & 0x7fff) === infinity && Number.isFinite(numbers[i]));
  if (lost >= 0)
    throw new BaxError(
      `${where} holds ${numbers[lost]}, which ${to} rounds to infinity; take ${to === 'f16' ? 'bf16 or f32' : 'f32'}`,
    );
  return raw;
}
