/**
 * Workers that share the memory. A job is one kernel and its units of work; all threads, the caller's too, claim chunks
 * of units until none is left. Which thread does a unit makes no difference to the bits. Workers sleep between jobs and
 * learn new kernels from the bytes in memory, so that nothing is ever sent to them.
 *
 * A worker counts itself among the active ones before it looks whether a job is open, and reads the job's words only then;
 * the caller closes the job before it looks whether anyone is active. So the words of an open job are never replaced while
 * someone goes by them.
 */
import { BaxError } from '@bax/core';
import * as word from './control.ts';
import { startWorker, type WorkerHandle } from './start-worker.ts';

/** A worker that is at a chunk for so many seconds in which this process ran is gone: see MOST_WORK. */
const PATIENCE = 30;
/** A chunk is about so much work at most, a tenth of a second, unless one unit alone is more. */
const MOST_WORK = 2 ** 30;
/** Chunks for each thread: enough to even out who is quick and who is not. */
const CHUNKS = 4;

export class Pool {
  readonly #control: Int32Array;
  #workers: WorkerHandle[] = [];
  #death: string | undefined;

  private constructor(control: Int32Array) {
    this.#control = control;
  }

  /** Starts `threads` − 1 workers, which find their kernels by the table at `table`. Rejects if one cannot start. */
  static async start(memory: WebAssembly.Memory, threads: number, table: number): Promise<Pool> {
    const pool = new Pool(new Int32Array(memory.buffer, word.CONTROL, word.CONTROL_BYTES / 4));
    pool.#control[word.TABLE] = table;
    const report = (reason: string): void => void (pool.#death ??= reason);
    const data = (thread: number) => ({ memory, control: word.CONTROL, thread });
    const starts = Array.from({ length: threads - 1 }, async (_, i) => startWorker(data(i + 1), report));
    const settled = await Promise.allSettled(starts);
    pool.#workers = settled.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
    const failed = settled.find((start) => start.status === 'rejected');
    if (!failed) return pool;
    pool.stop();
    throw failed.reason;
  }

  get threads(): number {
    return this.#workers.length + 1;
  }

  /**
   * Does the units of kernel number `kernel`, whose arguments lie in memory; `run` is the caller's own instance.
   * @throws BaxError if a worker died: before the job (none of which was done then), or in it.
   */
  run(kernel: number, units: number, work: number, run: (from: number, to: number) => void): void {
    if (this.#death !== undefined) this.#bury('Nothing was lost');
    const c = this.#control;
    const most = Math.max(1, Math.floor((units * MOST_WORK) / work));
    const chunk = Math.min(most, Math.ceil(units / (CHUNKS * this.threads)));
    c[word.UNITS] = units;
    c[word.CHUNK] = chunk;
    c[word.KERNEL] = kernel;
    c[word.FAILED] = 0;
    Atomics.store(c, word.NEXT, 0);
    Atomics.store(c, word.OPEN, 1);
    Atomics.add(c, word.JOB, 1);
    Atomics.notify(c, word.JOB);
    try {
      for (let from = 0; (from = Atomics.add(c, word.NEXT, chunk)) < units;)
        run(from, Math.min(from + chunk, units));
    } finally {
      Atomics.store(c, word.OPEN, 0);
      this.#wait();
    }
    if (Atomics.exchange(c, word.FAILED, 0) !== 0) throw new Error('wasm: a kernel failed in a worker');
  }

  /** Until no worker is active. */
  #wait(): void {
    const c = this.#control;
    let silent = 0; // counted in waits, not by the clock: a process may have been stopped for hours
    for (let active = 0; (active = Atomics.load(c, word.ACTIVE)) > 0;) {
      silent = Atomics.wait(c, word.ACTIVE, active, 1000) === 'timed-out' ? silent + 1 : 0;
      if (silent < PATIENCE) continue;
      this.#death ??= `no answer for ${PATIENCE} s`;
      this.#bury('The results of this operation are incomplete');
    }
  }

  /** Reports the death of a worker, once; the caller's thread goes on alone. */
  #bury(loss: string): never {
    const reason = this.#death;
    this.#death = undefined;
    this.stop();
    throw new BaxError(
      `wasm: a worker thread died (${reason}). ${loss}; from now on one thread does the work`,
    );
  }

  /** Ends the workers. */
  stop(): void {
    Atomics.store(this.#control, word.STOP, 1);
    Atomics.add(this.#control, word.JOB, 1);
    Atomics.notify(this.#control, word.JOB);
    for (const worker of this.#workers) worker.stop();
    this.#workers = [];
  }
}
