/** What `checkLoraOn` does with a backend that is wrong. */
import { checkBackend, checkLoraOn, loraLaws } from '@bax/check';
import { type Backend, BaxError, sliceView } from '@bax/core';
import { cpu } from '@bax/cpu';
import { expect, it } from 'vitest';

/** The laws that a backend breaks, by their numbers. */
async function broken(backend: Backend): Promise<string[]> {
  const { passed, failures } = await checkLoraOn(backend, { runs: 1 / 8 });
  expect(passed.length + failures.length).toBe(loraLaws.length);
  return [...new Set(failures.map(({ name }) => name.split(':')[0]))];
}

it('finds nothing wrong with cpu, and gives back all memory', async () => {
  const backend = cpu();
  expect(await broken(backend)).toEqual([]);
  expect(backend.memory()).toMatchObject({ live: 0, buffers: 0 });
});

it.each<[string, (right: Backend) => Partial<Backend>, string[]]>([
  [
    'a product replaces what it should be added to',
    (right) => ({ matmul: (a, b, out, options) => right.matmul(a, b, out, { ...options, accumulate: false }) }),
    ['P2', 'P6'],
  ],
  [
    'a product loses its last term',
    (right) => ({
      matmul(a, b, out, options) {
        const k = Math.max(1, a.shape.at(-1)! - 1);
        right.matmul(sliceView(a, a.shape.length - 1, 0, k), sliceView(b, b.shape.length - 2, 0, k), out, options);
      },
    }),
    ['P2', 'P32', 'P57', 'P6', 'P33'],
  ],
  [
    'a factor is taken for 1',
    (right) => ({ map: (fn, inputs, outputs, scalars) => right.map(fn, inputs, outputs, Array.from(scalars, () => 1)) }),
    ['P1', 'P2', 'P57', 'P6', 'P33'],
  ],
  [
    'products have no more digits than half precision',
    (right) => ({
      matmul(a, b, out, options) {
        right.matmul(a, b, out, options);
        const product = Float32Array.from(right.peek!(out.buffer)!);
        const bits = new Uint32Array(product.buffer);
        bits.forEach((x, i) => (bits[i] = x & 0xffffe000));
        right.write(out.buffer, product);
      },
    }),
    ['P2', 'P6', 'P33'],
  ],
])('sees it where %s', async (_, wrong, laws) => {
  const right = cpu();
  expect(await broken({ ...right, ...wrong(right) })).toEqual(laws);
}); // prettier-ignore

it('says the law, what came instead, and the smallest case', async () => {
  const right = cpu();
  const map: Backend['map'] = (fn, inputs, outputs) => right.map(fn, inputs, outputs, [1, 1]);
  const { failures } = await checkLoraOn({ ...right, map }, { only: 'P6: merged', runs: 1 / 8 });
  expect(failures.map(({ message }) => message)).toEqual([
    expect.stringMatching(
      /^cpu: P6: merged and unmerged outputs [^\n]*: W' = W \+ s B A: bits differ at \d+ of \d+: -?[\d.]+, expected -?[\d.]+\n {2}for {6}[^]*\n {2}replay {3}await checkLoraOn\(backend, \{ only: "P6: merged and [^\n]*", seed: 1, path: '[\d:]+' \}\);$/,
    ),
  ]);
});

it('names what an object lacks to be a backend, as checkBackend does', async () => {
  const all = 'name, info.adapter, info.dtypes, info.roundoff, alloc(), free(), write(), read(), map(), reduce(), matmul(), gather(), scatterAdd(), random(), memory()';
  const most = { ...cpu(), matmul: undefined };
  for (const [broken, lacks] of [[{}, all], [undefined, all], [cpu, all.replace('name, ', '')], [most, 'matmul()']] as const)
    for (const check of [checkBackend, checkLoraOn])
      await expect(check(broken as unknown as Backend)).rejects.toThrow(new BaxError(`${check.name}: this is no backend, for it lacks ${lacks}`));
}); // prettier-ignore
