/**
 * Safetensors files that show whether they are whole. Their last tensor, `crc32` (U32 [1]), is the CRC-32 of every byte
 * before it, header and all: so it can be made while the file is written, and be checked before anything in it is believed.
 */
import { crc32 } from './crc32.ts';
import { type TensorToWrite, writeSafetensors } from './safetensors-write.ts';
import type { ByteSource, Chunks, WritableFolder } from './source.ts';

export const SEAL = 'crc32';
const BLOCK = 1 << 20;

/** Writes F64 and F32 tensors as `writeSafetensors` does, and the seal behind them, where a narrower dtype lies. */
export async function writeSealed(
  folder: WritableFolder,
  file: string,
  tensors: readonly Extract<TensorToWrite, { dtype: 'F64' | 'F32' }>[],
  metadata: Readonly<Record<string, string>>,
): Promise<number> {
  let sum = 0;
  async function* summed(chunks: Chunks): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      sum = crc32(chunk, sum);
      yield chunk;
    }
  }
  const summing: Pick<WritableFolder, 'write'> = {
    write: async (name, chunks, bytes) => folder.write(name, summed(chunks), bytes),
  };
  const seal: TensorToWrite = { name: SEAL, dtype: 'U32', shape: [1], data: () => Uint32Array.of(sum) };
  return writeSafetensors(summing, file, [...tensors, seal], { metadata });
}

/** What is wrong with a file of `writeSealed`; undefined if it is whole. Rejects if it cannot be read. */
export async function faultOf(source: ByteSource): Promise<string | undefined> {
  const end = source.size - 4;
  if (end < 8) return `it ends after ${source.size} bytes`;
  let sum = 0;
  for (let at = 0; at < end; at += BLOCK) sum = crc32(await source.read(at, Math.min(BLOCK, end - at)), sum);
  const { buffer, byteOffset } = await source.read(end, 4);
  const said = new DataView(buffer, byteOffset).getUint32(0, true);
  const hex = (x: number): string => x.toString(16).padStart(8, '0');
  return said === sum ? undefined : `the CRC-32 of its bytes is ${hex(sum)}, and it says ${hex(said)}`;
}
