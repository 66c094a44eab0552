import { nodeProcess } from '../features.ts';

export interface WorkerHandle {
  stop(): void;
}
/** What worker.js is given. */
export interface WorkerData {
  readonly memory: WebAssembly.Memory;
  /** The address of the control words. */
  readonly control: number;
  /** Counted from 1; the caller's is 0. */
  readonly thread: number;
}

const START_MS = 30_000;

/**
 * Starts worker.js, in Node or in a browser, and resolves once it waits for work. It does not keep a process alive.
 * `died` is called if it ends without being asked to.
 */
export async function startWorker(data: WorkerData, died: (reason: string) => void): Promise<WorkerHandle> {
  const threads = nodeProcess()?.getBuiltinModule?.('node:worker_threads');
  let stopped = false;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => end(`it did not start within ${START_MS / 1000} s`), START_MS);
    const end = (reason: string): void => {
      clearTimeout(timer);
      reject(new Error(`wasm: a worker thread did not start: ${reason}`));
      if (!stopped) died(reason);
    };
    try {
      if (threads) {
        const worker = new threads.Worker(new URL('../../worker.js', import.meta.url), {
          workerData: data,
          name: `bax ${data.thread}`,
        });
        worker.on('message', () => {
          clearTimeout(timer);
          worker.unref();
          resolve({
            stop() {
              stopped = true;
              void worker.terminate();
            },
          });
        });
        worker.on('error', (error) => end(String(error)));
        worker.on('exit', (code) => end(`it ended with code ${String(code)}`));
        return;
      }
      const worker = new Worker(new URL('../../worker.js', import.meta.url), { type: 'module' });
      worker.addEventListener('message', () => {
        clearTimeout(timer);
        resolve({
          stop() {
            stopped = true;
            worker.terminate();
          },
        });
      });
      worker.addEventListener('error', (event) => end(event.message || 'its file could not be loaded'));
      worker.postMessage(data);
    } catch (error) {
      end(String(error)); // a page's policy; a bundle in a format that knows no import.meta.url
    }
  });
}
