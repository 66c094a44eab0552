import { expect } from 'vitest';
import { BaxError } from '@bax/core';
import { type ByteSource, bytesSource } from '../../../packages/nn/src/files/source.ts';

/** The message of the BaxError that `run` throws or rejects with; anything else fails the test. */
export async function failure(run: () => unknown): Promise<string> {
  let error: unknown;
  try {
    await run();
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(BaxError);
  return (error as BaxError).message;
}

export const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A .safetensors file put together by hand: the length, the header as given, the data. */
export function fileOf(
  header: string | Uint8Array,
  data: ArrayLike<number> = [],
  claimed?: bigint,
): Uint8Array {
  const json = typeof header === 'string' ? ascii(header) : header;
  const file = new Uint8Array(8 + json.byteLength + data.length);
  new DataView(file.buffer).setBigUint64(0, claimed ?? BigInt(json.byteLength), true);
  file.set(json, 8);
  file.set(data, 8 + json.byteLength);
  return file;
}

/** A source that remembers what was asked of it. */
export function spiedSource(
  bytes: Uint8Array,
  name = 'm.safetensors',
): ByteSource & { asked: number[]; closed: number } {
  const inner = bytesSource(bytes, name);
  const spy = {
    ...inner,
    asked: [] as number[],
    closed: 0,
    async read(offset: number, length: number) {
      spy.asked.push(length);
      return inner.read(offset, length);
    },
    async close() {
      spy.closed++;
    },
  };
  return spy;
}
