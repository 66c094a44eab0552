/** What Python wrote to test/golden. Read by a few lines of its own, not by the reader that the tests are about. */
import { readFileSync } from 'node:fs';
import { tensor, type Backend, type Tensor } from '@bax/core';
import { memoryFolder, type WritableFolder } from '@bax/nn';

export interface Golden {
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array | Int32Array | Uint32Array;
}

export const goldenBytes = (path: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../../golden/${path}`, import.meta.url)));

/** Every tensor of a file under test/golden; I64 as Int32Array. */
export const golden = (path: string): Map<string, Golden> => parsed(goldenBytes(path));

/** The tensors of a .safetensors file that hold F32, F64, U32 or I64. */
export function parsed(bytes: Uint8Array): Map<string, Golden> {
  const { header, start } = headerOf(bytes);
  return new Map(
    Object.entries(header).flatMap(([name, entry]): [string, Golden][] => {
      if (name === '__metadata__') return [];
      const own = bytes.slice(start + entry.data_offsets[0], start + entry.data_offsets[1]).buffer;
      if (entry.dtype === 'F32') return [[name, { shape: entry.shape, data: new Float32Array(own) }]];
      if (entry.dtype === 'F64') return [[name, { shape: entry.shape, data: new Float64Array(own) }]];
      if (entry.dtype === 'U32') return [[name, { shape: entry.shape, data: new Uint32Array(own) }]];
      if (entry.dtype !== 'I64') throw new Error(`golden: ${name} is ${entry.dtype}`);
      return [[name, { shape: entry.shape, data: Int32Array.from(new BigInt64Array(own), Number) }]];
    }),
  );
}

interface Entry {
  readonly dtype: string;
  readonly shape: number[];
  readonly data_offsets: [number, number];
}
export function headerOf(bytes: Uint8Array): { header: Record<string, Entry>; start: number } {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  return { header: JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))), start: 8 + length };
}

/** Replaces files or (undefined) removes them. */
export type Change = Readonly<Record<string, Uint8Array | string | undefined>>;

/** A directory under test/golden, in memory: what the loaders are given. */
export function goldenFolder(name: string, files: readonly string[], change: Change = {}): WritableFolder {
  const all = { ...Object.fromEntries(files.map((f) => [f, goldenBytes(`${name}/${f}`)])), ...change };
  const present = Object.entries(all).filter((e): e is [string, Uint8Array | string] => e[1] !== undefined);
  return memoryFolder(Object.fromEntries(present), name);
}
export const gpt2Folder = (change: Change = {}): WritableFolder =>
  goldenFolder('gpt2', ['config.json', 'model.safetensors'], change);
export const adapterFolder = (name: string, change: Change = {}): WritableFolder =>
  goldenFolder(name, ['adapter_config.json', 'adapter_model.safetensors'], change);

export const idsOf = ({ shape, data }: Golden, backend: Backend): Tensor =>
  tensor(Int32Array.from(data), { shape, dtype: 'i32', backend });

/** transformers' labels, which stand at the token itself, as bax's targets, which stand at the token before. */
export function targetsOf({ shape, data }: Golden, backend: Backend): Tensor {
  const [batch, time] = shape as [number, number];
  const targets = Int32Array.from({ length: batch * time }, (_, i) =>
    i % time === time - 1 ? -100 : data[i + 1]!,
  );
  return tensor(targets, { shape, dtype: 'i32', backend });
}

/** A tensor as it lies in a file. */
export interface Raw {
  dtype: string;
  shape: readonly number[];
  bytes: Uint8Array;
}
/** The same file with other tensors or metadata, put together by hand. */
export function rewrite(
  file: Uint8Array,
  change: (tensors: Map<string, Raw>, metadata: Record<string, string>) => void,
): Uint8Array {
  const { header, start } = headerOf(file);
  const metadata = { ...(header['__metadata__'] as unknown as Record<string, string>) };
  const tensors = new Map(
    Object.entries(header).flatMap(([name, { dtype, shape, data_offsets: span }]): [string, Raw][] =>
      name === '__metadata__'
        ? []
        : [[name, { dtype, shape, bytes: file.slice(start + span[0], start + span[1]) }]],
    ),
  );
  change(tensors, metadata);
  const entries: [string, unknown][] = [['__metadata__', metadata]];
  let at = 0;
  for (const [name, { dtype, shape, bytes }] of tensors) {
    entries.push([name, { dtype, shape, data_offsets: [at, at + bytes.length] }]);
    at += bytes.length;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const all = new Uint8Array(8 + json.length + at);
  new DataView(all.buffer).setBigUint64(0, BigInt(json.length), true);
  all.set(json, 8);
  at = 8 + json.length;
  for (const { bytes } of tensors.values()) {
    all.set(bytes, at);
    at += bytes.length;
  }
  return all;
}
export const f32Bytes = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);
