/** Between the host's arrays and the device's words. */
import { bytesOf, hostArray, type TypedArray } from '@bax/core';
import type { Gpu } from '../gpu.ts';
import { blockOf, type GpuTensorBuffer } from '../memory.ts';
import { patch } from '../wgsl.generated.ts';

/** Larger indices are checked and sorted on the device: the host keeps no second copy of them. */
const MOST_KNOWN = 2 ** 20;

/** Copies `data` to element `at` of a buffer. */
export function write(gpu: Gpu, buffer: GpuTensorBuffer, data: TypedArray, at: number): void {
  const block = blockOf(buffer);
  const { type, length } = buffer;
  const size = bytesOf(type);
  if (hostArray(type, 0)[Symbol.toStringTag] !== data[Symbol.toStringTag])
    throw new Error(`webgpu: a ${type} buffer cannot be written from a ${data[Symbol.toStringTag]}`);
  if (data.length === 0) return;
  if (type === 'i32' && length <= MOST_KNOWN) {
    if (at === 0 && data.length === length) buffer.known = data.slice();
    else if (buffer.known) buffer.known.set(data, at);
  } else buffer.known = undefined;
  const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  const [from, to] = [at * size, at * size + bytes.length];
  if (from % 4 === 0 && to % 4 === 0) return gpu.queue.write(block, bytes, from);
  // Narrow elements that do not fill whole words: the words at the ends keep what else they hold.
  const begin = Math.floor(from / 4) * 4;
  const end = Math.ceil(to / 4) * 4;
  const words = new Uint8Array(end - begin);
  words.set(bytes, from - begin);
  if (from % 4 === 0 && at + data.length === length) return gpu.queue.write(block, words, from); // behind the last element lies nothing
  const view = new DataView(words.buffer);
  const word = (byte: number): number => view.getUint32(byte - begin, true);
  const mask = (byte: number): number => {
    let bits = 0;
    for (let b = 0; b < 4; b++) if (byte + b >= from && byte + b < to) bits |= 0xff << (8 * b);
    return bits >>> 0;
  };
  const [inner, outer] = [Math.ceil(from / 4) * 4, Math.floor(to / 4) * 4];
  if (outer > inner) gpu.queue.write(block, words.subarray(inner - begin, outer - begin), inner);
  const part = (byte: number): number[] => [byte / 4, mask(byte), word(byte), 0];
  gpu.run(patch, {}, [{ block }], { first: part(begin), last: part(end - 4) }, 1);
}

/** A copy of `length` elements from `at`. */
export async function read(
  gpu: Gpu,
  buffer: GpuTensorBuffer,
  at: number,
  length: number,
): Promise<TypedArray> {
  const { type } = buffer;
  const block = blockOf(buffer);
  const size = bytesOf(type);
  const from = Math.floor((at * size) / 4) * 4;
  const to = Math.ceil(((at + length) * size) / 4) * 4;
  // Nothing is copied of no elements, but faults are heard of.
  const data = await gpu.read(block, from, Math.max(4, to - from));
  const out = hostArray(type, length);
  new Uint8Array(out.buffer).set(new Uint8Array(data, at * size - from, length * size));
  return out;
}
