import { BaxError, bf16ToF32, f16ToF32, f32ToBf16, f32ToF16, narrowed } from '@bax/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../support/runs.ts';

// The oracle: the definition of the formats in exact arithmetic (a double holds every value and every midpoint).
const formats = {
  f16: { mantissa: 10, bias: 15, widen: f16ToF32, narrow: f32ToF16 },
  bf16: { mantissa: 7, bias: 127, widen: bf16ToF32, narrow: f32ToBf16 },
};
const all = Uint16Array.from({ length: 65536 }, (_, i) => i);

describe.each([
  ['f16', formats.f16],
  ['bf16', formats.bf16],
] as const)('P49: %s', (type, { mantissa, bias, widen, narrow }) => {
  const steps = 2 ** mantissa;
  const infinity = (2 * bias + 1) * steps;
  /** The value of a non-negative pattern up to infinity; infinity as if the exponents went on: the next binade. */
  const valueOf = (pattern: number): number => {
    const e = Math.floor(pattern / steps);
    const m = pattern % steps;
    return e === 0 ? 2 ** (1 - bias) * (m / steps) : 2 ** (e - bias) * (1 + m / steps);
  };

  test('all 65,536 patterns widen to their value', () => {
    const floats = widen(all);
    for (const pattern of all) {
      const magnitude = pattern & 0x7fff;
      const value =
        magnitude > infinity ? Number.NaN : magnitude === infinity ? Infinity : valueOf(magnitude);
      const signed = pattern >> 15 ? -value : value;
      if (!Object.is(floats[pattern], signed))
        throw new Error(`${pattern}: ${floats[pattern]}, not ${signed}`);
    }
  });

  test('all 65,536 patterns come back bit for bit, NaN payloads and signed zeros too', () => {
    expect(narrow(widen(all))).toEqual(all);
  });

  /** The nearest pattern of a non-negative number that is not NaN: by comparison with the midpoint of its neighbours. */
  const nearest = (x: number): number => {
    let low = 0;
    let high = infinity;
    if (x >= valueOf(infinity)) return infinity;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (valueOf(middle) <= x) low = middle;
      else high = middle;
    }
    const midpoint = (valueOf(low) + valueOf(high)) / 2;
    if (x === midpoint) return low % 2 === 0 ? low : high;
    return x < midpoint ? low : high;
  };
  const checkNearest = (bits: Uint32Array): void => {
    const floats = new Float32Array(bits.buffer);
    const narrowed = narrow(floats);
    for (let i = 0; i < bits.length; i++) {
      const magnitude = bits[i] & 0x7fffffff;
      if (magnitude > 0x7f800000) {
        if ((narrowed[i] & 0x7fff) <= infinity) throw new Error(`NaN ${bits[i]} became ${narrowed[i]}`);
        continue;
      }
      const expected = nearest(Math.abs(floats[i])) + (bits[i] >>> 31 ? 0x8000 : 0);
      if (narrowed[i] !== expected) throw new Error(`${floats[i]}: ${narrowed[i]}, not ${expected}`);
    }
  };

  test('every midpoint between neighbours, and the floats around it, go to the nearest, ties to even', () => {
    const bits: number[] = [];
    const one = new Float32Array(1);
    const oneBits = new Uint32Array(one.buffer);
    for (let pattern = 0; pattern < infinity; pattern++) {
      one[0] = (valueOf(pattern) + valueOf(pattern + 1)) / 2;
      for (const b of [oneBits[0] - 1, oneBits[0], oneBits[0] + 1]) bits.push(b, (b | 0x80000000) >>> 0);
    }
    checkNearest(Uint32Array.from(bits));
  });

  test('numbers of f64 are rounded once: every midpoint, and the numbers next to it, go to the nearest', () => {
    const numbers: number[] = [];
    for (let pattern = 0; pattern < infinity; pattern++) {
      const middle = (valueOf(pattern) + valueOf(pattern + 1)) / 2;
      numbers.push(
        middle,
        -middle,
        middle * (1 + 2 ** -52),
        middle * (1 - 2 ** -52),
        -middle * (1 + 2 ** -40),
      );
    }
    numbers.push(0, 2 ** -1074, -(2 ** -200), 2 ** 200, -Infinity, Number.MAX_VALUE);
    const found = narrowed(type, numbers);
    numbers.forEach((x, i) => {
      const expected = nearest(Math.abs(x)) + (x < 0 ? 0x8000 : 0);
      if (found[i] !== expected) throw new Error(`${x}: ${found[i]}, not ${expected}`);
    });
    expect(narrowed(type, [NaN])[0]! & 0x7fff).toBeGreaterThan(infinity);
    expect(narrowed(type, Float32Array.from(numbers))).toEqual(narrow(Float32Array.from(numbers)));
  });

  test('random floats, of all exponents, go to the nearest', () => {
    fc.assert(
      fc.property(fc.uint32Array({ minLength: 1000, maxLength: 1000 }), (bits) =>
        checkNearest(Uint32Array.from(bits)),
      ),
      runs(100),
    );
  });

  test('infinities, the ends of the range, and NaNs with a payload in the lowest bit alone', () => {
    checkNearest(
      Uint32Array.of(0x7f800000, 0xff800000, 0x7f7fffff, 1, 0x80000001, 0x7f800001, 0xff800001, 0x7fffffff),
    );
  });

  test('fills what it is given, also within a larger buffer; other lengths are an error', () => {
    const out = new Float32Array(new ArrayBuffer(64), 4, 3);
    expect(widen(Uint16Array.of(0, 0x3f80, 0x8000), out)).toBe(out);
    expect(narrow(out)).toEqual(Uint16Array.of(0, 0x3f80, 0x8000));
    const rule = 'half: 3 f32 numbers cannot fill 2 16-bit ones or be filled by them';
    expect(() => widen(new Uint16Array(2), out)).toThrow(new BaxError(rule));
    expect(() => narrow(out, new Uint16Array(2))).toThrow(new BaxError(rule));
  });
});
