/** The values of the 16-bit floats. */
import { bf16ToF32, f16ToF32 } from '@bax/core';

const patterns = (): Uint16Array => Uint16Array.from({ length: 65536 }, (_, bits) => bits);

let f16: Float32Array | undefined;
/** The value of each of the 65,536 f16 bit patterns. */
export const widenF16 = (): Float32Array => (f16 ??= f16ToF32(patterns()));

let bf16: Float32Array | undefined;
/** The value of each of the 65,536 bf16 bit patterns. */
export const widenBf16 = (): Float32Array => (bf16 ??= bf16ToF32(patterns()));
