/** jax-js: kernels that it generates in WebAssembly. Its cpu device is an interpreter for debugging and takes no part. */
import type * as jaxJs from '@jax-js/jax';
import type { Factor, Product } from '../tasks.ts';
import { timed, type Contender } from '../rounds.ts';
import { load } from './load.ts';

export type Jax = typeof jaxJs;

export async function openJax(device: 'wasm'): Promise<Jax> {
  const jax = await load(() => import('@jax-js/jax'));
  if (!(await jax.init(device)).includes(device)) throw new Error(`jax-js has no device ${device} here`);
  jax.defaultDevice(device);
  return jax;
}

export const jaxMatmul = (device: 'wasm', { a, b, atLeast, check }: Product): Contender => ({
  name: `jax-js ${device}`,
  async open() {
    const { jit, numpy: np } = await openJax(device);
    const place = ({ data, shape }: Factor): ReturnType<typeof np.array> => np.array(data).reshape(shape);
    const [x, y] = [place(a), place(b)];
    const product = jit(np.matmul);
    const note = check(await product(x.ref, y.ref).data());
    const call = async (): Promise<void> => {
      const z = product(x.ref, y.ref);
      await z.blockUntilReady(); // lazy until here
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
