/** The remainder of each byte. */
const TABLE: Uint32Array = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  return crc;
});

/**
 * The CRC-32 of zip, gzip and PNG: of `bytes`, or, with the CRC-32 of what came `before`, of both. It finds every change
 * of up to 32 bits side by side, and all but one in 2³² of others. https://www.w3.org/TR/png-3/#D-CRCAppendix
 */
export function crc32(bytes: Uint8Array, before = 0): number {
  let crc = ~before;
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ TABLE[(crc ^ bytes[i]!) & 0xff]!;
  return ~crc >>> 0;
}
