// @ts-check
/**
 * A thread of the pool (src/threads/pool.ts): sleeps until there is a job, claims chunks of its units, sleeps again. Plain
 * JavaScript without imports, so that every runtime and bundler can load it by its URL, from source as from a build.
 */

// Indices of the control words: src/threads/control.ts.
const [JOB, OPEN, ACTIVE, NEXT, UNITS, CHUNK, KERNEL, SCRATCH, SCRATCH_BYTES, FAILED, STOP, TABLE] =
  Array(12).keys();
/** Where a kernel's arguments are: src/machine.ts. */
const ARGS = 128;

/** @param {{ memory: WebAssembly.Memory, control: number, thread: number }} data */
function work({ memory, control, thread }) {
  const c = new Int32Array(memory.buffer, control, 16);
  /** @type {((args: number, from: number, to: number, scratch: number) => void)[]} */
  const kernels = [];

  /** @param {number} id */
  const learn = (id) => {
    const [address, length] = new Uint32Array(memory.buffer, c[TABLE] + 8 * id, 2);
    const bytes = new Uint8Array(memory.buffer, address, length).slice();
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { host: { memory } });
    kernels[id] = /** @type {any} */ (exports).run;
  };

  for (let seen = 0; ;) {
    Atomics.wait(c, JOB, seen);
    seen = Atomics.load(c, JOB);
    if (Atomics.load(c, STOP)) return;
    const next = Atomics.load(c, KERNEL);
    try {
      if (Atomics.load(c, OPEN) && !kernels[next]) learn(next); // before it counts as active: nobody waits for that
    } catch {
      continue; // the others do the job; the caller's own compilation says what is wrong
    }
    Atomics.add(c, ACTIVE, 1);
    try {
      // Only of an open job may the words be read: while it is open and this worker active, the caller replaces none.
      if (Atomics.load(c, OPEN)) {
        const run = kernels[c[KERNEL]];
        const [units, chunk, scratch] = [c[UNITS], c[CHUNK], c[SCRATCH] + thread * c[SCRATCH_BYTES]];
        while (run && Atomics.load(c, OPEN)) {
          const from = Atomics.add(c, NEXT, chunk);
          if (from >= units) break;
          run(ARGS, from, Math.min(from + chunk, units), scratch);
        }
      }
    } catch {
      Atomics.add(c, FAILED, 1);
    }
    Atomics.sub(c, ACTIVE, 1);
    Atomics.notify(c, ACTIVE);
  }
}

const { process } = /** @type {any} */ (globalThis);
const threads = process?.getBuiltinModule?.('node:worker_threads');
if (threads) {
  threads.parentPort.postMessage('ready');
  work(threads.workerData);
} else {
  addEventListener(
    'message',
    ({ data }) => {
      postMessage('ready');
      work(data);
    },
    { once: true },
  );
}
