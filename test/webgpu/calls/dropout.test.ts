import { assertSameBits } from '@bax/check';
import { key, permute, threefry2x32 } from '@bax/core';
import { expect, it } from 'vitest';
import { onEveryBackend } from '../../support/backends.ts';
import { assertSteady, fused, gpuCases, numbers, reals } from '../support/fused.ts';

/** As core defines it, in f32. */
function dropped(x: Float32Array, p: number, k: Uint32Array): Float32Array {
  const words = new Uint32Array(x.length + 1);
  for (let e = 0; e < x.length; e += 2) threefry2x32(k[0], k[1], e / 2, 0, words, e);
  const scale = Math.fround(1 / (1 - p));
  return x.map((v, e) => (words[e] >>> 8 >= Math.round(p * 2 ** 24) ? v * scale : 0));
}

onEveryBackend((on) => {
  it("keeps what core's mask keeps, bit for bit", async () => {
    for (const n of [1, 2, 3, 4, 5, 6, 7, 8, 9, 255, 256, 257, 1000, 70_001])
      for (const p of [0.1, 0.5, 0.999]) {
        const x = numbers(n);
        const attrs = { p, key: Uint32Array.of(n, 0xdeadbeef) };
        const y = await fused(on.backend, 'dropout', [{ shape: [n], data: x }], attrs);
        assertSameBits(y, dropped(x, p, attrs.key), `${n} elements, p = ${p}`);
      }
  });

  it('by the place in the tensor, not in memory', async () => {
    const attrs = { p: 0.3, key: key(5) };
    const data = numbers(33 * 20);
    const y = await fused(on.backend, 'dropout', [{ shape: [33, 20], data, as: (t) => permute(t, [1, 0]) }], attrs); // prettier-ignore
    const turned = data.map((_, i) => data[(i % 33) * 20 + Math.floor(i / 33)]);
    assertSameBits(y, dropped(turned, attrs.p, attrs.key), 'transposed');
  });

  it('drops NaN too, and keeps it', async () => {
    const x = new Float32Array(64).fill(NaN);
    const attrs = { p: 0.5, key: key(1) };
    const y = await fused(on.backend, 'dropout', [{ shape: [64], data: x }], attrs);
    expect([...y]).toEqual([...dropped(x, attrs.p, attrs.key)]);
  });

  it('more elements than one dimension of workgroups does', async () => {
    const n = 2 ** 24 + 2 ** 18 + 3;
    const { backend } = on;
    const [x, y] = [backend.alloc(n, 'f32'), backend.alloc(n, 'f32')];
    const view = { shape: [n], strides: [1], offset: 0 };
    const tail = Float32Array.of(1, 1, 1, 1, 1, 1, 1);
    backend.write(x, tail, n - 7);
    const k = key(3);
    expect(backend.fused!.dropout([{ ...view, buffer: x }], [{ ...view, buffer: y }], { p: 0.5, key: k })).toBe(true); // prettier-ignore
    const got = await backend.read(y, n - 7, 7);
    const expected = tail.map((_, i) => {
      const e = n - 7 + i;
      const words = new Uint32Array(2);
      threefry2x32(k[0], k[1], Math.floor(e / 2), 0, words);
      return words[e % 2] >>> 31 ? 2 : 0;
    });
    assertSameBits(got as Float32Array, expected, 'the last ones');
    for (const buffer of [x, y]) backend.free(buffer);
  });

  it('a result inside of a larger tensor: what lies around it stays', async () => {
    const { backend } = on;
    const x = backend.alloc(6, 'f32');
    backend.write(x, new Float32Array(6).fill(1));
    for (const offset of [0, 4, 5]) {
      const y = backend.alloc(12, 'f32');
      backend.write(y, new Float32Array(12).fill(7));
      const taken = backend.fused!.dropout([{ buffer: x, shape: [6], strides: [1], offset: 0 }], [{ buffer: y, shape: [6], strides: [1], offset }], { p: 0.5, key: key(1) }); // prettier-ignore
      const all = await backend.read(y);
      const around = [...all].filter((_, i) => i < offset || i >= offset + 6);
      expect(around, `from ${offset} on, ${taken ? 'taken' : 'left to the composition'}`).toEqual(around.map(() => 7)); // prettier-ignore
      backend.free(y);
    }
    backend.free(x);
  });

  it('gives the same bits again, on used memory too', async () => {
    await assertSteady(on.backend, 'dropout', [reals([5, 999])], { p: 0.1, key: key(2) }); // prettier-ignore
  });
}, gpuCases);
