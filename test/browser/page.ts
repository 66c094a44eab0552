/** Runs the suite as the query says and posts what came of it: `?id=1&program=conformance&backend=wasm&worker&threads=2&only=matmul`. */
import { type Outcome, type Program, runSuite, type Wanted } from './suite.ts';

const query = new URLSearchParams(location.search);
const threads = query.get('threads');
const wanted: Wanted = {
  program: query.get('program') as Program,
  backend: query.get('backend') as Wanted['backend'],
  software: query.has('software'),
  only: query.get('only') ?? '',
  runs: Number(query.get('runs') ?? 1),
  ...(threads ? { threads: Number(threads) } : {}),
};

/** As an application does it: bax in a module worker, since a page's main thread may not wait for others. */
async function inWorker(): Promise<Outcome> {
  const worker = new Worker(new URL('./suite-worker.ts', import.meta.url), { type: 'module' });
  return new Promise((resolve, reject) => {
    worker.addEventListener('message', ({ data }: MessageEvent<Outcome>) => resolve(data));
    worker.addEventListener('error', ({ message }) => reject(new Error(`the worker failed: ${message}`)));
    worker.postMessage(wanted);
  });
}

const outcome = await (query.has('worker') ? inWorker() : runSuite(wanted)).catch(
  (error: unknown): Partial<Outcome> => ({ error: String(error) }),
);
await fetch(`/outcome/${query.get('id')}`, { method: 'POST', body: JSON.stringify(outcome) });
