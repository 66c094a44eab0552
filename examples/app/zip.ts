import { crc32 } from 'bax';

/** A field of a ZIP record: its value and its bytes, little-endian. */
type Field = readonly [value: number, bytes: 2 | 4];

/** Files in one .zip archive, as they are, not compressed. https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT */
export function zip(files: ReadonlyMap<string, Uint8Array>): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  for (const [path, content] of files) {
    const name = new TextEncoder().encode(path);
    const size = content.byteLength;
    // Version 2.0, a name in UTF-8, stored, midnight of the first of January 1980, checksum, sizes; no extra field.
    const common: Field[] = [
      [20, 2], [0x800, 2], [0, 2], [0, 2], [0x21, 2], [crc32(content), 4], [size, 4], [size, 4], [name.byteLength, 2], [0, 2],
    ]; // prettier-ignore
    const local = record([[0x04034b50, 4], ...common]); // prettier-ignore
    directory.push(record([[0x02014b50, 4], [20, 2], ...common, [0, 2], [0, 2], [0, 2], [0, 4], [at, 4]]), name); // prettier-ignore
    parts.push(local, name, content);
    at += local.byteLength + name.byteLength + size;
  }
  const length = directory.reduce((n, { byteLength }) => n + byteLength, 0);
  const end: Field[] = [[0x06054b50, 4], [0, 2], [0, 2], [files.size, 2], [files.size, 2], [length, 4], [at, 4], [0, 2]]; // prettier-ignore
  return join([...parts, ...directory, record(end)]);
}

function record(fields: readonly Field[]): Uint8Array {
  return Uint8Array.from(
    fields.flatMap(([value, bytes]) => Array.from({ length: bytes }, (_, i) => value >>> (8 * i))),
  );
}

function join(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((n, { byteLength }) => n + byteLength, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.byteLength;
  }
  return all;
}
