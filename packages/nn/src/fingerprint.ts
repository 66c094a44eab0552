import type { Module } from './module.ts';

/**
 * `sha256:…` over all parameters of a model, their names, shapes and values, so that an adapter can say which base it was
 * trained on. Values count, not how they are held: a weight in f16 and its f32 copy are the same. Reads the whole model.
 * Undefined where there is no WebCrypto, as in a page that is not a secure context.
 */
export async function fingerprint(model: Module): Promise<string | undefined> {
  const crypto = globalThis.crypto as Crypto | undefined;
  if (!crypto?.subtle) return undefined;
  const sha256 = async (bytes: Uint8Array<ArrayBuffer>): Promise<string> =>
    Array.from(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)), (b) =>
      b.toString(16).padStart(2, '0'),
    ).join('');
  const lines: string[] = [];
  for (const [name, t] of model.namedParameters())
    lines.push(`${name} [${t.shape.join(', ')}] ${await sha256(bytesOf(await t.data()))}\n`);
  return `sha256:${await sha256(new TextEncoder().encode(lines.sort().join('')))}`;
}

/** As f32 where that holds every value, little-endian as in safetensors. */
function bytesOf(values: Float32Array | Float64Array | Int32Array): Uint8Array<ArrayBuffer> {
  const narrow = Float32Array.from(values);
  const exact = narrow.every((v, i) => Object.is(v, values[i]));
  return new Uint8Array((exact ? narrow : Float64Array.from(values)).buffer);
}
