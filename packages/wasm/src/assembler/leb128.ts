/** Integers as WebAssembly writes them: seven bits a byte, the least significant first, the top bit set on all but the last. */

/** An unsigned integer below 2^32: counts, indices, offsets. https://webassembly.github.io/spec/core/binary/values.html */
export function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value >>> 0;
  while (rest >= 0x80) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return bytes;
}

/** A signed 32-bit integer in two's complement: what `i32.const` takes. The last byte's bit 6 is the sign. */
export function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value | 0;
  for (;;) {
    const byte = rest & 0x7f;
    rest >>= 7;
    const done = (rest === 0 && (byte & 0x40) === 0) || (rest === -1 && (byte & 0x40) !== 0);
    bytes.push(done ? byte : byte | 0x80);
    if (done) return bytes;
  }
}
