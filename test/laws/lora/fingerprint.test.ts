/** P50: an adapter belongs to the base that it was trained on, to the bit. */
import { fromHost, keep, reshape, type Tensor } from '@bax/core';
import { castModule, fingerprint, type Gpt2, loadAdapter, memoryFolder, type Module, put, readAdapter, saveAdapter } from '@bax/nn'; // prettier-ignore
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { failure } from '../../nn/files/support.ts';
import { randomAdapter, tinyGpt2 } from '../../nn/support/gpt2.ts';
import { modelHashes } from '../../nn/support/hash.ts';
import { onEveryBackend } from '../../support/backends.ts';
import { runs } from '../../support/runs.ts';

/** Turns one bit of one number over. */
async function flip(t: Tensor, element: number, bit: number): Promise<void> {
  const values = await t.data();
  const at = element % t.size;
  const bytes = new Uint8Array(values.buffer, values.byteOffset + at * values.BYTES_PER_ELEMENT, values.BYTES_PER_ELEMENT); // prettier-ignore
  const place = bit % (8 * bytes.length);
  bytes[place >> 3]! ^= 1 << (place & 7);
  t.backend.write(t.view.buffer, values, t.view.offset);
}
const parameter = (model: Module, i: number): [string, Tensor] =>
  [...model.namedParameters()][i % model.namedParameters().size]!;

onEveryBackend((on) => {
  it('with one bit of one weight of the base turned over it is refused, and nothing changes; anyBase loads it, and warns', async () => {
    const dtypes = on.hasF64 ? (['f32', 'f64'] as const) : (['f32'] as const);
    for (const dtype of dtypes) {
      const model = tinyGpt2({ backend: on.backend, dtype });
      const folder = memoryFolder();
      await saveAdapter(randomAdapter(model, { r: 2, targets: ['q', 'wte'] }), folder);
      const { warnings } = await readAdapter(model, folder);
      expect(warnings).toEqual([]);
      const law = async (i: number, element: number, bit: number): Promise<void> => {
        const [name, t] = parameter(model, i);
        const [was, bits] = [await fingerprint(model), await modelHashes(model)];
        await flip(t, element, bit);
        try {
          const now = await fingerprint(model);
          expect(now, `${name}, bit ${bit}`).not.toBe(was);
          const [changed, { live }] = [await modelHashes(model), on.backend.memory()];
          expect(await failure(() => loadAdapter(model, folder))).toBe(
            `loadAdapter: memory/adapter_model.safetensors was trained on another base model: its weights are ${was}, these ${now}. Load the base that it was trained on, or pass { anyBase: true }`,
          );
          expect(on.backend.memory().live).toBeLessThanOrEqual(live); // less, where garbage was collected
          expect(await modelHashes(model)).toEqual(changed);
          const { lora, warnings: says } = await loadAdapter(model, folder, { anyBase: true });
          expect(says).toEqual([`this adapter was trained on another base model: its weights are ${was}, these ${now}`]); // prettier-ignore
          for (const adapter of lora.adapters.values()) adapter.dispose();
        } finally {
          await flip(t, element, bit);
        }
        expect(await modelHashes(model)).toEqual(bits);
        expect(await fingerprint(model)).toBe(was);
      };
      const place = fc.tuple(fc.nat(99), fc.nat(9999), fc.nat(63));
      await fc.assert(
        fc.asyncProperty(place, ([i, e, b]) => law(i, e, b)),
        runs(on.runs(24)),
      );
    }
  });

  it('is of the values and their places: not of how they are held, nor of the adapters beside them', async () => {
    const model = tinyGpt2({ backend: on.backend });
    const was = await fingerprint(model);
    expect(was).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(await fingerprint(tinyGpt2({ backend: on.backend }))).toBe(was);
    if (on.hasF64) expect(await fingerprint(castModule(model, 'f64')), 'the same numbers in f64').toBe(was);
    const lora = randomAdapter(model, { r: 2, targets: ['q'] });
    expect(await fingerprint(lora.base)).toBe(was);
    const { model: merged } = await lora.merge();
    expect(await fingerprint(merged)).not.toBe(was);

    // held in f16, and the same numbers held wide
    const held = model.namedParameters().get('transformer.wpe.weight')!;
    const narrow = keep(fromHost(Uint16Array.from({ length: held.size }, (_, i) => 0x3000 + i), held.shape, 'f16', { backend: on.backend })); // prettier-ignore
    const wide = keep(fromHost(Float32Array.from(await narrow.data()), held.shape, 'f32', { backend: on.backend })); // prettier-ignore
    const [small, large] = [narrow, wide].map((t) => {
      const other: Gpt2 = castModule(model, 'f32');
      put(other, 'transformer.wpe.weight', t);
      return other;
    });
    expect(await fingerprint(small!)).toBe(await fingerprint(large!));
    expect(await fingerprint(small!)).not.toBe(was);

    // the same numbers in another shape
    const reshaped = castModule(model, 'f32');
    const table = reshaped.namedParameters().get('transformer.wpe.weight')!;
    put(reshaped, 'transformer.wpe.weight', keep(reshape(table, [table.size])));
    expect(await fingerprint(reshaped)).not.toBe(was);

    // two weights of one shape in each other's places are another base
    const exchanged = castModule(model, 'f32');
    const [a, b] = ['transformer.h.0.attn.c_attn.weight', 'transformer.h.1.attn.c_attn.weight'].map((path) => exchanged.namedParameters().get(path)!); // prettier-ignore
    put(exchanged, 'transformer.h.0.attn.c_attn.weight', b!);
    put(exchanged, 'transformer.h.1.attn.c_attn.weight', a!);
    expect(await fingerprint(exchanged)).not.toBe(was);
  });
});
