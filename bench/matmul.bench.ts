/** Matrix products by themselves, at the shapes of training and of LoRA's low-rank branches. */
import { matmul, tensor, type Tensor } from '@bax/core';
import type { Suite } from './options.ts';
import { say } from './options.ts';
import { engines, ourNames, type Engine } from './ours.ts';
import { jaxMatmul } from './peers/jax.ts';
import { tfjsMatmul } from './peers/tfjs.ts';
import { ceilings } from './probe.ts';
import { race, timed, type Contender } from './rounds.ts';
import { raceRows, type Row } from './table.ts';
import type { Factor, Product } from './tasks.ts';

const full = [
  [1, 512, 512, 512],
  [1, 1024, 1024, 1024],
  [1, 512, 768, 8],
  [1, 512, 8, 768],
  [96, 128, 64, 128],
] as const;
const quick = [
  [1, 96, 96, 96],
  [1, 64, 96, 8],
  [1, 64, 8, 96],
  [6, 32, 16, 32],
] as const;

export const run: Suite = async (options) => {
  const rows: Row[] = [];
  for (const [batch, m, k, n] of options.quick ? quick : full) {
    const product = newProduct(batch, m, k, n, options.quick ? 5 : 200);
    say(`matmul ${product.name}`);
    const contenders = [
      ...engines.map((engine) => ourMatmul(engine, product)),
      tfjsMatmul('cpu', product),
      tfjsMatmul('wasm', product),
      jaxMatmul('wasm', product),
      ...ceilings(product.flops),
    ];
    const results = await race(contenders, options.rounds);
    const rate = { unit: 'GF/s', of: (ms: number) => product.flops / ms / 1e6 };
    rows.push(...raceRows(`matmul ${product.name}`, results, ourNames, rate));
  }
  return rows;
};

function newProduct(batch: number, m: number, k: number, n: number, atLeast: number): Product {
  const lead = batch === 1 ? [] : [batch];
  const a = factor([...lead, m, k], 1);
  const b = factor([...lead, k, n], 2);
  const wanted = (at: number): number => {
    const [matrix, row, column] = [Math.floor(at / (m * n)), Math.floor(at / n) % m, at % n];
    let sum = 0;
    for (let x = 0; x < k; x++)
      sum += a.data[(matrix * m + row) * k + x]! * b.data[(matrix * k + x) * n + column]!;
    return sum;
  };
  return {
    name:
      batch > 1 ? `${batch} × (${m}×${k} · ${k}×${n})` : m === k && k === n ? `${m}³` : `${m}×${k} → ${n}`,
    a,
    b,
    flops: 2 * batch * m * k * n,
    atLeast,
    check(result) {
      if (result.length !== batch * m * n) return `WRONG: ${result.length} numbers for ${batch * m * n}`;
      for (let at = 0; at < result.length; at += 997)
        if (!(Math.abs(result[at]! - wanted(at)) < 1e-3 * Math.sqrt(k)))
          return `WRONG: element ${at} is ${result[at]}`;
      return '';
    },
  };
}

/** Numbers in [-1, 1) that do not repeat. */
function factor(shape: readonly number[], seed: number): Factor {
  let state = seed;
  const size = shape.reduce((product, length) => product * length, 1);
  const data = Float32Array.from({ length: size }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state / 2 ** 31;
  });
  return { shape, data };
}

const ourMatmul = (engine: Engine, { a, b, atLeast, check }: Product): Contender => ({
  name: engine.name,
  async open() {
    const backend = await engine.open();
    const place = ({ data, shape }: Factor): Tensor => tensor(data, { shape, backend });
    const [x, y] = [place(a), place(b)];
    const first = matmul(x, y);
    const note = check(await first.data());
    first.dispose();
    // One element is read, as that waits for the device and costs nothing beside the product.
    const call = async (): Promise<void> => {
      const z = matmul(x, y);
      await backend.read(z.view.buffer, 0, 1);
      z.dispose();
    };
    await timed(call, atLeast);
    return {
      run: () => timed(call, atLeast),
      note: () => note,
      close: () => [x, y].forEach((t) => t.dispose()),
    };
  },
});
