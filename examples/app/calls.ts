/** Calls made of messages, between a page and its worker: a call is answered, with news on the way. */

/** Of each task: what the page gives, what it is told on the way, what comes of it. */
export type TaskTable<T> = {
  readonly [K in keyof T]: { readonly give: unknown; readonly told: unknown; readonly result: unknown };
};

interface Request<T extends TaskTable<T>, K extends keyof T> {
  readonly id: number;
  readonly task: K;
  readonly give: T[K]['give'];
}
interface Cancel {
  readonly cancel: number;
}
type Reply = { readonly id: number } & (
  | { told: unknown }
  | { result: unknown }
  | { error: string; fault?: unknown }
);

/**
 * What went wrong in a task; `fault` is that of the GPU, where it was the GPU's: 'lost', 'out-of-memory', …, or STOPPED
 * where the page stopped it.
 */
export class TaskError extends Error {
  readonly fault: unknown;
  constructor(message: string, fault: unknown) {
    super(message);
    this.fault = fault;
  }
}

export const STOPPED = 'stopped';

export type Call<T extends TaskTable<T>> = <K extends keyof T>(
  task: K,
  give: T[K]['give'],
  options?: { on?: (told: T[K]['told']) => void; signal?: AbortSignal },
) => Promise<T[K]['result']>;

/** The page's end. */
export function connect<T extends TaskTable<T>>(worker: Worker): Call<T> {
  const waiting = new Map<number, (reply: Reply) => void>();
  let calls = 0;
  worker.addEventListener('message', ({ data }: MessageEvent<Reply>) => waiting.get(data.id)?.(data));
  worker.addEventListener('error', ({ message }) => {
    for (const [id, take] of waiting)
      take({ id, error: `the worker failed: ${message || 'it could not be loaded'}` });
  });
  return async <K extends keyof T>(
    task: K,
    give: T[K]['give'],
    { on, signal }: { on?: (told: T[K]['told']) => void; signal?: AbortSignal } = {},
  ): Promise<T[K]['result']> =>
    new Promise((resolve, reject) => {
      const id = ++calls;
      waiting.set(id, (reply) => {
        if ('told' in reply) return on?.(reply.told as T[K]['told']);
        waiting.delete(id);
        if ('error' in reply) reject(new TaskError(reply.error, reply.fault));
        else resolve(reply.result as T[K]['result']);
      });
      signal?.addEventListener('abort', () => worker.postMessage({ cancel: id } satisfies Cancel));
      worker.postMessage({ id, task, give } satisfies Request<T, K>);
    });
}

export type Handlers<T extends TaskTable<T>> = {
  readonly [K in keyof T]: (
    give: T[K]['give'],
    tell: (news: T[K]['told']) => void,
    signal: AbortSignal,
  ) => Promise<T[K]['result']>;
};

const isAbort = (error: unknown): boolean =>
  error instanceof Error && (error.name === 'AbortError' || isAbort(error.cause));

/** The worker's end: one task after another, since there is one model. */
export function serve<T extends TaskTable<T>>(handlers: Handlers<T>): void {
  const stops = new Map<number, AbortController>();
  let queue = Promise.resolve();

  async function run<K extends keyof T>(
    { id, task, give }: Request<T, K>,
    signal: AbortSignal,
  ): Promise<void> {
    const reply = (what: object): void => postMessage({ id, ...what });
    try {
      reply({ result: await handlers[task](give, (told) => reply({ told }), signal) });
    } catch (error) {
      const isStopped = signal.aborted && isAbort(error);
      const message = error instanceof Error ? error.message : String(error);
      reply({
        error: message,
        fault: isStopped ? STOPPED : (error as { fault?: unknown } | undefined)?.fault,
      });
    } finally {
      stops.delete(id);
    }
  }
  addEventListener('message', ({ data }: MessageEvent<Request<T, keyof T> | Cancel>) => {
    if ('cancel' in data) return stops.get(data.cancel)?.abort();
    const stop = new AbortController();
    stops.set(data.id, stop);
    queue = queue.then(async () => run(data, stop.signal));
  });
}
