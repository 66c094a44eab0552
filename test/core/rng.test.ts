import { foldIn, key, normals, randomBits, threefry2x32, uniforms } from '@bax/core';
import { describe, expect, test } from 'vitest';

const hex = (words: ArrayLike<number>): string =>
  Array.from(words, (w) => (w >>> 0).toString(16).padStart(8, '0')).join(' ');

// https://github.com/DEShawResearch/random123 examples/kat_vectors: threefry2x32 20
test.each([
  [[0, 0], [0, 0], '6b200159 99ba4efe'],
  [[0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff], '1cb996fc bb002be7'],
  [[0x13198a2e, 0x03707344], [0x243f6a88, 0x85a308d3], 'c4923a9c 483df7a0'],
])('Threefry-2x32-20: key %j, counter %j', ([k0, k1], [c0, c1], words) => {
  const out = new Uint32Array(2);
  threefry2x32(k0, k1, c0, c1, out);
  expect(hex(out)).toBe(words);
  const signed = new Int32Array(3);
  threefry2x32(k0, k1, c0, c1, signed, 1);
  expect(hex(signed.subarray(1))).toBe(words);
});

test('randomBits: element e is word e % 2 of block (e >> 1, 0)', () => {
  const k = key(2 ** 40 + 7);
  expect([...k]).toEqual([7, 256]);
  const bits = randomBits(k, 7);
  for (let e = 0; e < 7; e++) {
    const block = new Uint32Array(2);
    threefry2x32(7, 256, e >> 1, 0, block);
    expect(bits[e]).toBe(block[e % 2]);
  }
  expect([...randomBits(k, 3)]).toEqual([...bits.subarray(0, 3)]); // a shorter draw begins alike
});

test('key: any safe integer from 0; other seeds give other bits', () => {
  const seeds = [0, 1, 2, 2 ** 32, 2 ** 53 - 1];
  expect(new Set(seeds.map((s) => hex(randomBits(key(s), 2)))).size).toBe(seeds.length);
  for (const seed of [-1, 0.5, 2 ** 53, NaN])
    expect(() => key(seed)).toThrow(`key: the seed must be an integer from 0 to 2^53 - 1, not ${seed}`);
});

describe('moments, 10^5 draws, within 5 standard errors', () => {
  const n = 1e5;
  const moment = (values: Float64Array, p: number): number => values.reduce((s, v) => s + v ** p, 0) / n;

  test('uniforms are multiples of 2^-24 in [0, 1)', () => {
    const u = uniforms(key(1), n);
    expect(Math.abs(moment(u, 1) - 1 / 2)).toBeLessThan(5 / Math.sqrt(12 * n));
    expect(Math.abs(moment(u, 2) - 1 / 3)).toBeLessThan(5 * Math.sqrt(4 / 45 / n));
    expect(u.every((v) => v >= 0 && v < 1 && Number.isInteger(v * 2 ** 24))).toBe(true);
  });

  test('uniforms are the upper 24 bits, normals Box and Muller of all 32', () => {
    const bits = randomBits(key(9), 10);
    expect([...uniforms(key(9), 10)]).toEqual(Array.from(bits, (b) => (b >>> 8) / 2 ** 24));
    const z = normals(key(9), 10);
    for (let i = 0; i < 10; i += 2) {
      const radius = Math.sqrt(-2 * Math.log((bits[i] + 1) / 2 ** 32));
      const angle = (2 * Math.PI * bits[i + 1]) / 2 ** 32;
      expect(z[i]).toBeCloseTo(radius * Math.cos(angle), 12);
      expect(z[i + 1]).toBeCloseTo(radius * Math.sin(angle), 12);
    }
  });

  test('normals', () => {
    const z = normals(key(1), n);
    expect(Math.abs(moment(z, 1))).toBeLessThan(5 / Math.sqrt(n));
    expect(Math.abs(moment(z, 2) - 1)).toBeLessThan(5 * Math.sqrt(2 / n));
    expect(Math.abs(moment(z, 3))).toBeLessThan(5 * Math.sqrt(15 / n));
    expect(Math.abs(moment(z, 4) - 3)).toBeLessThan(5 * Math.sqrt(96 / n));
    const neighbours = z.reduce((s, v, i) => s + v * z[(i + 1) % n], 0) / n;
    expect(Math.abs(neighbours)).toBeLessThan(5 / Math.sqrt(n));
    expect(z.every(Number.isFinite)).toBe(true);
  });

  test('normals follow the normal distribution (Kolmogorov and Smirnov)', () => {
    const z = normals(key(3), 10000).sort();
    const cdf = (x: number): number => {
      const t = 1 / (1 + 0.2316419 * Math.abs(x)); // Abramowitz and Stegun 26.2.17, to 7.5e-8
      const tail =
        (Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)) *
        t *
        (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
      return x > 0 ? 1 - tail : tail;
    };
    const distance = z.reduce((d, x, i) => Math.max(d, Math.abs(cdf(x) - (i + 0.5) / z.length)), 0);
    expect(distance).toBeLessThan(2.7 / Math.sqrt(z.length)); // p > 1e-6
  });

  test('an odd count is the beginning of an even one', () => {
    expect([...normals(key(1), 5)]).toEqual([...normals(key(1), 6).subarray(0, 5)]);
    expect(normals(key(1), 0)).toHaveLength(0);
  });
});

describe('foldIn', () => {
  const parent = key(11);
  const correlation = (a: Float64Array, b: Float64Array): number =>
    a.reduce((s, v, i) => s + v * b[i], 0) / a.length;

  test('gives other, uncorrelated streams', () => {
    const n = 10000;
    const keys = [
      parent,
      foldIn(parent, 0),
      foldIn(parent, 1),
      foldIn(parent, 'a'),
      foldIn(parent, 'b'),
      foldIn(foldIn(parent, 1), 0),
    ];
    const streams = keys.map((k) => normals(k, n));
    streams.forEach((a, i) =>
      streams.slice(0, i).forEach((b) => expect(Math.abs(correlation(a, b))).toBeLessThan(5 / Math.sqrt(n))),
    );
  });

  test('a number and a name never meet, nor a fold and a draw', () => {
    const keys = [
      foldIn(parent, 0),
      foldIn(parent, ''),
      foldIn(parent, '0'),
      foldIn(parent, 49),
      randomBits(parent, 2),
    ].map(hex);
    expect(new Set(keys).size).toBe(keys.length);
    expect(hex(foldIn(parent, 'a'))).not.toBe(hex(foldIn(parent, 0xe40c292c))); // FNV-1a of 'a'
    const many = Array.from({ length: 2000 }, (_, i) => hex(foldIn(parent, i)));
    expect(new Set(many).size).toBe(2000);
  });

  test('is a function of parent and data', () => {
    expect(hex(foldIn(parent, 'transformer.h.0'))).toBe(hex(foldIn(key(11), 'transformer.h.0')));
    expect(hex(foldIn(parent, 5))).not.toBe(hex(foldIn(key(12), 5)));
    expect([...parent]).toEqual([11, 0]);
  });

  test.each([-1, 0.5, 2 ** 32, NaN])('refuses %s', (data) => {
    expect(() => foldIn(parent, data)).toThrow(`foldIn: ${data} is not an integer from 0 to 2^32 - 1`);
  });
});
