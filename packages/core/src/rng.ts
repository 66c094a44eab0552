import { BaxError } from './errors.ts';
import { onReplay } from './recording.ts';

/**
 * Counter-based random numbers: the n-th word depends on the key and n alone, so the same key gives the same bits on
 * every backend, in any order. Threefry-2x32 with 20 rounds, Salmon et al. 2011, https://doi.org/10.1145/2063384.2063405
 */
export type Key = Uint32Array;

const PARITY = 0x1bd11bda;

/** One block: two words from a key of two words and a counter of two words, written to `out` at `at` and behind it. */
export function threefry2x32(
  k0: number,
  k1: number,
  c0: number,
  c1: number,
  out: Uint32Array | Int32Array,
  at = 0,
): void {
  let x0 = (c0 + k0) | 0;
  let x1 = (c1 + k1) | 0;
  // After every fourth round two words of the key are added: k1 and k2 first, then on around the circle of three.
  let a = k1;
  let b = k0 ^ k1 ^ PARITY;
  let c = k0;
  for (let group = 1; group <= 5; group++) {
    const by = group & 1 ? EVEN : ODD;
    x1 = rotate(x1, by[0]) ^ (x0 = (x0 + x1) | 0);
    x1 = rotate(x1, by[1]) ^ (x0 = (x0 + x1) | 0);
    x1 = rotate(x1, by[2]) ^ (x0 = (x0 + x1) | 0);
    x1 = rotate(x1, by[3]) ^ (x0 = (x0 + x1) | 0);
    x0 = (x0 + a) | 0;
    x1 = (x1 + b + group) | 0;
    const first = a;
    a = b;
    b = c;
    c = first;
  }
  out[at] = x0;
  if (at + 1 < out.length) out[at + 1] = x1;
}

/** How far each round rotates: four rounds of one, four of the other. */
const EVEN = [13, 15, 26, 6] as const;
const ODD = [17, 29, 16, 24] as const;
const rotate = (x: number, by: number): number => (x << by) | (x >>> (32 - by));

/** A key from a seed: any safe integer ≥ 0. */
export function key(seed: number): Key {
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new BaxError(`key: the seed must be an integer from 0 to 2^53 - 1, not ${seed}`);
  return Uint32Array.of(seed >>> 0, Math.floor(seed / 2 ** 32));
}

/** A new, independent key from `parent` and an integer from 0 to 2^32 − 1 (a step) or a name (a module's path). */
export function foldIn(parent: Key, data: number | string): Key {
  if (typeof data === 'number' && data !== data >>> 0)
    throw new BaxError(`foldIn: ${data} is not an integer from 0 to 2^32 - 1`);
  const out = new Uint32Array(2);
  const word = typeof data === 'number' ? data : fnv1a(data);
  const derive = (): void =>
    threefry2x32(parent[0]!, parent[1]!, word, typeof data === 'number' ? 1 : 2, out);
  derive();
  onReplay(derive);
  return out;
}

function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** The first `n` words under `key`: what `Backend.random` must give. */
export function randomBits(k: Key, n: number): Uint32Array {
  const out = new Uint32Array(n);
  for (let at = 0; at < n; at += 2) threefry2x32(k[0]!, k[1]!, at >> 1, 0, out, at);
  return out;
}

/** n numbers in [0, 1): (bits >>> 8) · 2^-24, exact in f32. */
export function uniforms(k: Key, n: number): Float64Array {
  return Float64Array.from(randomBits(k, n), (bits) => (bits >>> 8) * 2 ** -24);
}

/** n standard normals by Box and Muller, made on the host in f64: log and cos differ between GPUs. */
export function normals(k: Key, n: number): Float64Array {
  const bits = randomBits(k, n + (n & 1));
  const out = new Float64Array(n);
  for (let i = 0; i < n; i += 2) {
    const radius = Math.sqrt(-2 * Math.log((bits[i]! + 1) * 2 ** -32));
    const angle = 2 * Math.PI * bits[i + 1]! * 2 ** -32;
    out[i] = radius * Math.cos(angle);
    if (i + 1 < n) out[i + 1] = radius * Math.sin(angle);
  }
  return out;
}
