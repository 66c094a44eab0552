/** The scalar functions that JavaScript lacks, in f64, and the values of the 16-bit floats. */

/** 1 / (1 + e^-x), without overflow for either sign. */
export function sigmoid(x: number): number {
  if (x >= 0) return 1 / (1 + Math.exp(-x));
  const e = Math.exp(x);
  return e / (1 + e);
}

/**
 * erf(x) = 2/√π ∫₀ˣ e^-t² dt, to a few units in the last place of f64.
 * https://dlmf.nist.gov/7.6.E2 below 2, where all terms are positive; https://dlmf.nist.gov/7.9.E1 for 1 - erf above.
 */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (a >= 6) return Math.sign(x);
  if (a < 2) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }
  let fraction = a;
  for (let n = 40; n > 0; n--) fraction = a + n / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * fraction));
}

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
