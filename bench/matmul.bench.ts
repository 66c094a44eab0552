/** Matrix products by themselves, at the shapes of training, of LoRA's low-rank branches and of generation. */
import { matmul, tensor, transpose, type Tensor } from '@bax/core';
import { THREADS } from './machine.ts';
import { say, type Suite } from './options.ts';
import { comparedWith, engines, gpuEngines, wasmEngines, withoutFma, type Engine } from './ours.ts';
import { jaxMatmul } from './peers/jax.ts';
import { onnxMatmul } from './peers/onnxruntime.ts';
import { tfjsMatmul } from './peers/tfjs.ts';
import { ceilings, fmaCeiling } from './probe.ts';
import { race, timed, type Contender } from './rounds.ts';
import { raceRows, type Row } from './table.ts';
import type { Factor, Product } from './tasks.ts';

interface Size {
  readonly batch?: number;
  readonly m: number;
  readonly k: number;
  readonly n: number;
  readonly bTransposed?: boolean;
}
const full: readonly Size[] = [
  { m: 512, k: 512, n: 512 },
  { m: 1024, k: 1024, n: 1024 },
  { m: 512, k: 768, n: 8 },
  { m: 512, k: 8, n: 768 },
  { m: 1, k: 768, n: 3072, bTransposed: true }, // a token through a linear layer
  { batch: 96, m: 128, k: 64, n: 128 },
];
const quick: readonly Size[] = [
  { m: 96, k: 96, n: 96 },
  { m: 64, k: 96, n: 8 },
  { m: 64, k: 8, n: 96 },
  { m: 1, k: 96, n: 128, bTransposed: true },
  { batch: 6, m: 32, k: 16, n: 32 },
];

export const run: Suite = async (options) => {
  const rows: Row[] = [];
  for (const size of options.quick ? quick : full) {
    const changing = newProduct(size, options.quick ? 5 : 200);
    const kept = { ...changing, name: `${changing.name}, B kept`, bKept: true };
    for (const product of size.batch === undefined ? [changing, kept] : [changing]) {
      say(`matmul ${product.name}`);
      const results = await race(contenders(product), options.rounds);
      const rate = { unit: 'GF/s', of: (ms: number) => product.flops / ms / 1e6 };
      rows.push(...raceRows(`matmul ${product.name}`, results, comparedWith, rate));
    }
  }
  return rows;
};

function contenders(product: Product): Contender[] {
  const ours = (some: readonly Engine[]): Contender[] => some.map((engine) => ourMatmul(engine, product));
  const peers = [
    tfjsMatmul('wasm', product),
    jaxMatmul('wasm', product),
    ...(gpuEngines.length > 0 ? [tfjsMatmul('webgpu', product), jaxMatmul('webgpu', product)] : []),
    ...[...new Set([1, THREADS])].map((threads) => onnxMatmul(threads, product)),
  ];
  if (product.bKept) return [...ours([...wasmEngines, ...gpuEngines]), ...peers, fmaCeiling(product.flops)];
  return [
    ...ours([...engines, withoutFma]),
    tfjsMatmul('cpu', product),
    ...peers,
    ...ceilings(product.flops),
  ];
}

function newProduct({ batch = 1, m, k, n, bTransposed = false }: Size, atLeast: number): Product {
  const lead = batch === 1 ? [] : [batch];
  const a = factor([...lead, m, k], 1);
  const b = factor([...lead, ...(bTransposed ? [n, k] : [k, n])], 2);
  const [bRow, bColumn] = bTransposed ? [1, k] : [n, 1];
  const wanted = (at: number): number => {
    const [matrix, row, column] = [Math.floor(at / (m * n)), Math.floor(at / n) % m, at % n];
    let sum = 0;
    for (let x = 0; x < k; x++)
      sum += a.data[(matrix * m + row) * k + x]! * b.data[matrix * k * n + x * bRow + column * bColumn]!;
    return sum;
  };
  const shape = m === k && k === n ? `${m}³` : `${m}×${k} → ${n}`;
  return {
    name: batch > 1 ? `${batch} × (${m}×${k} · ${k}×${n})` : bTransposed ? `${shape}, B transposed` : shape,
    a,
    b,
    bTransposed,
    bKept: false,
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

const ourMatmul = (engine: Engine, { a, b, bTransposed, bKept, atLeast, check }: Product): Contender => ({
  name: engine.name,
  async open() {
    const backend = await engine.open();
    const place = ({ data, shape }: Factor): Tensor => tensor(data, { shape, backend });
    const [x, held] = [place(a), place(b)];
    const y = bTransposed ? transpose(held) : held;
    // A number written anew is enough: what is packed of a buffer is dropped when it is written.
    const renew = (): void => backend.write(held.view.buffer, b.data.subarray(0, 1));
    // One element is read, as that waits for the device and costs nothing beside the product.
    const call = async (): Promise<void> => {
      const z = matmul(x, y);
      await backend.read(z.view.buffer, 0, 1);
      z.dispose();
    };
    const measure = (): Promise<number> => timed(call, atLeast, bKept ? undefined : renew);
    await measure();
    const last = matmul(x, y); // of a packed B, if it is kept
    const note = check(await last.data());
    last.dispose();
    return { run: measure, note: () => note, close: () => backend.close?.() };
  },
});
