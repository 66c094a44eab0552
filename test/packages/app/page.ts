/** The program in a page: `outcome` is what was learnt there, and in a module worker, where WebAssembly may have threads. */
import { type Learned, learnAll } from './program.ts';

async function inWorker(): Promise<Learned[]> {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  return new Promise((resolve, reject) => {
    worker.addEventListener('message', ({ data }: MessageEvent<Learned[]>) => resolve(data));
    worker.addEventListener('error', ({ message }) => reject(new Error(`the worker failed: ${message}`)));
  });
}

Object.assign(globalThis, { outcome: Promise.all([learnAll('cpu', 'wasm', 'auto'), inWorker()]) });
