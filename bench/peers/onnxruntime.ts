/** onnxruntime-web: its kernels in WebAssembly, on one thread or several. */
import { createRequire } from 'node:module';
import type * as onnxruntime from 'onnxruntime-web';
import { threadsInWords } from '../machine.ts';
import type { Product } from '../tasks.ts';
import { timed, type Contender } from '../rounds.ts';
import { load } from './load.ts';
import { productModel } from './onnx.ts';

type Ort = typeof onnxruntime;

const opened = new Map<number, Ort>();

/** The library takes its number of threads once, so each number has an instance of its own. */
async function openOrt(threads: number): Promise<Ort> {
  const known = opened.get(threads);
  if (known) return known;
  const require = createRequire(import.meta.url);
  for (const path of Object.keys(require.cache)) if (path.includes('onnxruntime')) delete require.cache[path];
  const ort = await load(async () => require('onnxruntime-web') as Ort);
  ort.env.wasm.numThreads = threads;
  opened.set(threads, ort);
  return ort;
}

/**
 * The factors are constants of the model, and only the shape of the result is fetched: so nothing is copied in or out,
 * as with the others. A B that changes must not be packed beforehand; a B that is kept may.
 */
export const onnxMatmul = (
  threads: number,
  { a, b, bTransposed, bKept, atLeast, check }: Product,
): Contender => ({
  name: `onnxruntime-web, ${threadsInWords(threads)}`,
  async open() {
    const ort = await openOrt(threads);
    const hadWorker = 'Worker' in globalThis;
    const session = await ort.InferenceSession.create(productModel(a, b, bTransposed), {
      executionProviders: ['wasm'],
      graphOptimizationLevel: 'disabled', // or the product of constants would be a constant
      extra: { session: { disable_prepacking: bKept ? '0' : '1' } },
    });
    // In Node it leaves a global Worker behind, which jax-js would take for a browser's.
    if (!hadWorker) Reflect.deleteProperty(globalThis, 'Worker');
    const { y } = await session.run({}, ['y']);
    const note = check(y!.data);
    const call = (): Promise<unknown> => session.run({}, ['shape']);
    await timed(call, atLeast);
    return { run: () => timed(call, atLeast), note: () => note, close: () => void session.release() };
  },
});
