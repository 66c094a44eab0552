/**
 * A .zip from anywhere, read by its directory. What it says of itself is looked at before anything is inflated, and is not
 * believed: what comes out is counted as it comes, and has the checksum that was promised or is refused.
 * https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
 */
import { crc32 } from 'bax';
import { Inflate } from 'fflate';

/** Files in an archive: an adapter is two, and someone may have added a few. */
const MOST_ENTRIES = 100;
const [END, DIRECTORY, LOCAL] = [0x06054b50, 0x02014b50, 0x04034b50];
const [END_BYTES, MOST_COMMENT] = [22, 0xffff];
/** What is inflated in one go: deflate makes at most a thousand times as much of it. */
const SLICE = 1 << 12;

export interface Entry {
  readonly name: string;
  readonly size: number;
}
interface Located extends Entry {
  readonly method: number;
  readonly packed: number;
  readonly crc: number;
  readonly local: number;
}
/** Why an archive is not read. */
export class ArchiveError extends Error {
  readonly why: 'notZip' | 'tooMany' | 'tooLarge';
  constructor(why: ArchiveError['why'], detail: string) {
    super(detail);
    this.why = why;
  }
}
const damaged = (detail: string): ArchiveError => new ArchiveError('notZip', detail);

/** The files that `wanted` picks from all names, of at most so many bytes together. @throws ArchiveError */
export function unzip(
  zip: Uint8Array,
  mostBytes: number,
  wanted: (names: readonly string[]) => readonly string[],
): Uint8Array[] {
  const view = new DataView(zip.buffer, zip.byteOffset, zip.byteLength);
  const entries = directoryOf(zip, view);
  const chosen = wanted(entries.map(({ name }) => name)).map((name) =>
    entries.find((entry) => entry.name === name)!,
  );
  const bytes = chosen.reduce((sum, { size }) => sum + size, 0);
  if (bytes > mostBytes) throw new ArchiveError('tooLarge', String(bytes));
  return chosen.map((entry) => contentOf(zip, view, entry));
}

function directoryOf(zip: Uint8Array, view: DataView): Located[] {
  let end = zip.length - END_BYTES;
  const first = Math.max(0, end - MOST_COMMENT);
  while (end >= first && view.getUint32(end, true) !== END) end--;
  if (end < first) throw damaged('no directory');
  const count = view.getUint16(end + 10, true);
  if (count > MOST_ENTRIES) throw new ArchiveError('tooMany', String(count));
  const entries: Located[] = [];
  for (let at = view.getUint32(end + 16, true); entries.length < count;) {
    if (at + 46 > end || view.getUint32(at, true) !== DIRECTORY) throw damaged('directory');
    const [flags, method] = [8, 10].map((field) => view.getUint16(at + field, true));
    const [crc, packed, size, local] = [16, 20, 24, 42].map((field) => view.getUint32(at + field, true));
    const [nameBytes, extra, comment] = [28, 30, 32].map((field) => view.getUint16(at + field, true));
    const name = new TextDecoder().decode(zip.subarray(at + 46, at + 46 + nameBytes));
    if (flags & 1) throw damaged(`${name}: encrypted`);
    entries.push({ name, method, packed, size, crc, local });
    at += 46 + nameBytes + extra + comment;
  }
  return entries;
}

function contentOf(
  zip: Uint8Array,
  view: DataView,
  { name, method, packed, size, crc, local }: Located,
): Uint8Array {
  if (local + 30 > zip.length || view.getUint32(local, true) !== LOCAL) throw damaged(name);
  const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
  if (start + packed > zip.length) throw damaged(name);
  const stored = zip.subarray(start, start + packed);
  if (method !== 0 && method !== 8) throw damaged(`${name}: method ${method}`);
  const content = method === 8 ? inflated(stored, size, name) : stored;
  if (content.length !== size || crc32(content) !== crc) throw damaged(name);
  return content;
}

function inflated(packed: Uint8Array, size: number, name: string): Uint8Array {
  const content = new Uint8Array(size);
  let at = 0;
  const inflate = new Inflate((piece) => {
    if (at + piece.length > size) throw damaged(name);
    content.set(piece, at);
    at += piece.length;
  });
  try {
    for (let from = 0; from < packed.length; from += SLICE)
      inflate.push(packed.subarray(from, from + SLICE), from + SLICE >= packed.length);
  } catch {
    throw damaged(name);
  }
  return content.subarray(0, at);
}
