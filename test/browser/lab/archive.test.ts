/** Archives that the lab is given: good ones by others' hands, and bad ones by malice. No browser needed. */
import { deflateRawSync, crc32 } from 'node:zlib';
import { strToU8, zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { ArchiveError, unzip } from '../../../examples/lab/worker/archive.ts';

interface Made {
  readonly name: string;
  readonly content: Uint8Array;
  readonly method?: number;
  /** What the directory says in place of the truth. */
  readonly size?: number;
  readonly crc?: number;
  readonly flags?: number;
  readonly local?: number;
}
/** A .zip by its specification, which may lie. */
function zipOf(files: readonly Made[], count = files.length): Uint8Array {
  const [locals, directory]: [Buffer[], Buffer[]] = [[], []];
  let at = 0;
  for (const { name, content, method = 8, flags = 0, ...lie } of files) {
    const packed = method === 8 ? deflateRawSync(content, { level: 9 }) : Buffer.from(content);
    const [bytes, crc] = [Buffer.from(name), lie.crc ?? crc32(content)];
    const fields = (first: number[]): Buffer => {
      const head = Buffer.alloc(first.length * 2 + 26);
      [...first, 20, flags, method, 0, 0].forEach((x, i) => head.writeUInt16LE(x, i * 2));
      [crc, packed.length, lie.size ?? content.length].forEach((x, i) => head.writeUInt32LE(x, first.length * 2 + 10 + i * 4)); // prettier-ignore
      head.writeUInt16LE(bytes.length, first.length * 2 + 22);
      return head;
    };
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(lie.local ?? at, 10);
    directory.push(fields([0x4b50, 0x0201, 20]), tail, bytes);
    locals.push(fields([0x4b50, 0x0403]), bytes, packed);
    at += 30 + bytes.length + packed.length;
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(count, 8);
  end.writeUInt16LE(count, 10);
  end.writeUInt32LE(directory.reduce((n, part) => n + part.length, 0), 12); // prettier-ignore
  end.writeUInt32LE(at, 16);
  return new Uint8Array(Buffer.concat([...locals, ...directory, end]));
}
const all = (names: readonly string[]): readonly string[] => names;
const MOST = 1_000_000;
const text = strToU8('Call me Ishmael. '.repeat(500));
const noise = Uint8Array.from({ length: 9000 }, (_, i) => (i * i * 31 + (i >> 3)) & 255);
function why(zip: Uint8Array): string {
  try {
    unzip(zip, MOST, all);
    return 'read';
  } catch (error) {
    return error instanceof ArchiveError ? error.why : String(error);
  }
}

describe('unzip', () => {
  it('reads what fflate, zlib and others write, packed or not, with words before and after', () => {
    const [packed, stored] = [6, 0].map((level) => zipSync({ 'a/text': text, noise }, { level: level as 6 | 0 })); // prettier-ignore
    for (const zip of [
      packed,
      stored,
      zipOf([
        { name: 'a/text', content: text },
        { name: 'noise', content: noise, method: 0 },
      ]),
    ])
      expect(unzip(zip, MOST, all)).toEqual([text, noise]);
    const commented = zipOf([{ name: 'e', content: new Uint8Array(0) }]);
    new DataView(commented.buffer).setUint16(commented.length - 2, 5, true);
    expect(unzip(new Uint8Array([...commented, 1, 2, 3, 4, 5]), MOST, all)).toEqual([new Uint8Array(0)]);
  });

  it('inflates only what is wanted', () => {
    const zip = zipOf([{ name: 'bad', content: text, crc: 1 }, { name: 'good', content: text }]); // prettier-ignore
    expect(unzip(zip, MOST, (names) => names.filter((name) => name === 'good'))).toEqual([text]);
    expect(why(zip)).toBe('notZip');
  });

  it('refuses what is too much before it inflates, and what says that it is less than it is', () => {
    const zeros = new Uint8Array(5_000_000);
    expect(why(zipOf([{ name: 'bomb', content: zeros }]))).toBe('tooLarge');
    expect(why(zipOf([{ name: 'a', content: text, size: 600_000 }, { name: 'b', content: text, size: 600_000 }]))).toBe('tooLarge'); // prettier-ignore
    expect(why(zipOf([{ name: 'liar', content: zeros, size: 1000 }]))).toBe('notZip');
    expect(why(zipOf([{ name: 'liar', content: text, size: text.length + 1 }]))).toBe('notZip');
    expect(why(zipOf([{ name: 'liar', content: text, size: 0, crc: 0 }]))).toBe('notZip');
    const many = Array.from({ length: 101 }, (_, i) => ({ name: String(i), content: text }));
    expect(why(zipOf(many))).toBe('tooMany');
    expect(why(zipOf(many.slice(0, 2), 60_000))).toBe('tooMany');
    expect(why(zipOf(many.slice(0, 2), 3))).toBe('notZip');
  });

  it('refuses what is damaged, encrypted, or packed in another way', () => {
    const short = text.subarray(0, 200);
    const good = zipOf([{ name: 'text', content: short }]);
    expect(why(good)).toBe('read');
    expect(why(zipOf([{ name: 'x', content: text, flags: 1 }]))).toBe('notZip');
    expect(why(zipOf([{ name: 'x', content: text, method: 14 }]))).toBe('notZip');
    expect(why(zipOf([{ name: 'x', content: text, local: 0xfffffff0 }]))).toBe('notZip');
    expect(why(new Uint8Array(0))).toBe('notZip');
    expect(why(strToU8('PK\x03\x04 but no more'))).toBe('notZip');
    for (let length = 0; length < good.length; length++) expect(why(good.subarray(0, length))).toBe('notZip');
    for (let at = 0; at < good.length; at++) {
      const broken = good.slice();
      broken[at] ^= 0x55;
      let read: Uint8Array[] = [];
      try {
        read = unzip(broken, MOST, all);
      } catch (error) {
        expect(error).toBeInstanceOf(ArchiveError);
      }
      for (const content of read) expect(content).toEqual(short); // the damage was where it says nothing of it
    }
  });
});
