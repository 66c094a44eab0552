/** TensorFlow.js: its backends in plain JavaScript, in WebAssembly (one thread in Node) and in WebGPU, eager. */
import { createRequire } from 'node:module';
import { dirname, sep } from 'node:path';
import type * as tfjs from '@tensorflow/tfjs';
import type { Factor, Product } from '../tasks.ts';
import { timed, type Contender } from '../rounds.ts';
import { offerDawn } from './dawn.ts';
import { load } from './load.ts';

export type Tf = typeof tfjs;
export type TfjsBackend = 'cpu' | 'wasm' | 'webgpu';

/** The library with `backend` as the one that computes; to be called again before each use, as there are two. */
export async function openTfjs(backend: TfjsBackend): Promise<Tf> {
  const tf = await load(() => import('@tensorflow/tfjs'));
  tf.enableProdMode();
  if (backend === 'wasm') {
    const { setWasmPaths } = await load(() => import('@tensorflow/tfjs-backend-wasm'));
    const main = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm');
    setWasmPaths(dirname(main) + sep);
  }
  if (backend === 'webgpu') {
    await offerDawn();
    await load(() => import('@tensorflow/tfjs-backend-webgpu'));
  }
  if (!(await tf.setBackend(backend))) throw new Error(`tfjs has no backend ${backend} here`);
  await tf.ready();
  return tf;
}

type Tensor = InstanceType<Tf['Tensor']>;
/** Waits for a result. On webgpu for one element, as ours; elsewhere it is computed when the call returns. */
export async function computed(backend: TfjsBackend, z: Tensor): Promise<void> {
  if (backend !== 'webgpu') return;
  const one = z.slice(z.shape.map(() => 0), z.shape.map(() => 1)); // prettier-ignore
  await one.data();
  one.dispose();
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
    const note = check(await first.data());
    first.dispose();
    const call = async (): Promise<void> => {
      const z = product();
      await computed(backend, z);
      z.dispose();
    };
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
