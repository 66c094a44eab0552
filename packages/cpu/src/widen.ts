/** The values of the 16-bit floats. */

let f16: Float32Array | undefined;
/** The value of each of the 65,536 f16 bit patterns. */
export function widenF16(): Float32Array {
  return (f16 ??= Float32Array.from({ length: 65536 }, (_, bits) => {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
  }));
}

let bf16: Float32Array | undefined;
/** The value of each of the 65,536 bf16 bit patterns: the upper half of an f32. */
export function widenBf16(): Float32Array {
  return (bf16 ??= new Float32Array(Uint32Array.from({ length: 65536 }, (_, bits) => bits << 16).buffer));
}
