/** TensorFlow.js: its backends in plain JavaScript and in WebAssembly (one thread in Node), eager. */
import { createRequire } from 'node:module';
import { dirname, sep } from 'node:path';
import type * as tfjs from '@tensorflow/tfjs';
import type { Factor, Product } from '../tasks.ts';
import { timed, type Contender } from '../rounds.ts';
import { load } from './load.ts';

export type Tf = typeof tfjs;
export type TfjsBackend = 'cpu' | 'wasm';

/** The library with `backend` as the one that computes; to be called again before each use, as there are two. */
export async function openTfjs(backend: TfjsBackend): Promise<Tf> {
  const tf = await load(() => import('@tensorflow/tfjs'));
  tf.enableProdMode();
  if (backend === 'wasm') {
    const { setWasmPaths } = await load(() => import('@tensorflow/tfjs-backend-wasm'));
    const main = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm');
    setWasmPaths(dirname(main) + sep);
  }
  if (!(await tf.setBackend(backend))) throw new Error(`tfjs has no backend ${backend} here`);
  await tf.ready();
  return tf;
}

export const tfjsMatmul = (
  backend: TfjsBackend,
  { a, b, bTransposed, bKept, atLeast, check }: Product,
): Contender => ({
  name: `tfjs ${backend}`,
  async open() {
    const tf = await openTfjs(backend);
    const place = ({ data, shape }: Factor): InstanceType<Tf['Tensor']> => tf.tensor(data, shape);
    const x = place(a);
    let y = place(b);
    // It keeps b packed for as long as the tensor lives.
    const renew = (): void => {
      y.dispose();
      y = place(b);
    };
    const product = (): InstanceType<Tf['Tensor']> => tf.matMul(x, y, false, bTransposed);
    const first = product();
    const note = check(first.dataSync());
    first.dispose();
    const call = (): void => product().dispose(); // computed when it returns
    const measure = (): Promise<number> => timed(call, atLeast, bKept ? undefined : renew);
    await measure();
    return {
      async run() {
        await tf.setBackend(backend);
        return measure();
      },
      note: () => note,
      close: () => [x, y].forEach((t) => t.dispose()),
    };
  },
});
