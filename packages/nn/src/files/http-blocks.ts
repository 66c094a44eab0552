// What a server sends, put together as blocks or as a whole file, and never more of it than was agreed on.
import { BaxError } from '@bax/core';
import type { Answer } from './http-answer.ts';

/** A file and how it is cut. */
export interface BlockedFile {
  readonly name: string;
  readonly size: number;
  /** The size of all blocks but the last: that of the whole file where the server ignores ranges. */
  readonly blockBytes: number;
}

/** What an answer brings as `count` blocks, from block `first` on. */
export async function* blocksOf(
  { name, size, blockBytes }: BlockedFile,
  answer: Answer,
  first: number,
  count: number,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  let [index, filled] = [first, 0];
  const next = (): Uint8Array<ArrayBuffer> =>
    new Uint8Array(Math.max(0, Math.min(blockBytes, size - index * blockBytes)));
  let block = next();
  for await (const chunk of answer.chunks()) {
    for (let at = 0; at < chunk.byteLength;) {
      if (index === first + count) throw new BaxError(`${name}: the server sent more than the ${size} bytes that it has`); // prettier-ignore
      const part = chunk.subarray(at, at + block.byteLength - filled);
      block.set(part, filled);
      at += part.byteLength;
      filled += part.byteLength;
      if (filled < block.byteLength) continue;
      yield block;
      [index, filled] = [index + 1, 0];
      block = index < first + count ? next() : block;
    }
  }
  if (index < first + count)
    throw new BaxError(`${name}: the server sent less than the ${size} bytes that it has`);
}

/** The body of a server that ignores ranges, if it is not too large to be held. */
export async function wholeOf(answer: Answer, name: string, most: number): Promise<Uint8Array<ArrayBuffer>> {
  const refuse = (size: string): never => {
    answer.cancel();
    throw new BaxError(
      `${name}: the server ignores ranges and sends the whole file, ${size}, of which { cacheBytes: ${most} } cannot hold all; serve it with ranges, or raise cacheBytes`,
    );
  };
  if ((answer.size ?? 0) > most) refuse(`${answer.size} bytes`);
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of answer.chunks()) {
    length += chunk.byteLength;
    if (length > most) refuse(`more than ${most} bytes`);
    chunks.push(chunk);
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}
