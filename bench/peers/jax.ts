/** jax-js: kernels that it generates in WebAssembly or WGSL. Its cpu device is an interpreter for debugging and takes no part. */
import type * as jaxJs from '@jax-js/jax';
import type { Factor, Product } from '../tasks.ts';
import { timed, type Contender } from '../rounds.ts';
import { offerDawn } from './dawn.ts';
import { load } from './load.ts';

export type Jax = typeof jaxJs;
export type JaxDevice = 'wasm' | 'webgpu';
type Array_ = ReturnType<Jax['numpy']['array']>;

export async function openJax(device: JaxDevice): Promise<Jax> {
  if (device === 'webgpu') await offerDawn();
  const jax = await load(() => import('@jax-js/jax'));
  if (!(await jax.init(device)).includes(device)) throw new Error(`jax-js has no device ${device} here`);
  jax.defaultDevice(device);
  return jax;
}

/** It packs nothing, so it makes no difference to it whether b is kept. */
export const jaxMatmul = (device: JaxDevice, { a, b, bTransposed, atLeast, check }: Product): Contender => ({
  name: `jax-js ${device}`,
  async open() {
    const { jit, numpy: np } = await openJax(device);
    const place = ({ data, shape }: Factor): Array_ => np.array(data).reshape(shape);
    const [x, y] = [place(a), place(b)];
    const product = jit(bTransposed ? (x: Array_, y: Array_) => np.matmul(x, y.transpose()) : np.matmul);
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
