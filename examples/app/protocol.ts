/** What the page asks of its worker, and how: a call is a message that is answered, with news on the way. */
import type { DeviceName } from 'bax';

/** Of each task: what the page gives, what it is told on the way, what comes of it. */
export interface Tasks {
  open: {
    give: { model: string; device: DeviceName; software: boolean };
    told: { done: number; total: number };
    result: { device: string; parameters: number };
  };
  /** Told the pieces of the text. */
  generate: {
    give: { prompt: string; tokens: number; temperature: number };
    told: string;
    result: undefined;
  };
  train: {
    give: { text: string; steps: number };
    told: { step: number; loss: number; secondsLeft: number };
    result: { steps: number };
  };
  save: { give: string; told: never; result: { bytes: number } };
  list: { give: undefined; told: never; result: string[] };
  /** Nothing takes the adapter off. */
  load: {
    give: { stored: string } | { url: string } | undefined;
    told: never;
    result: { warnings: readonly string[] };
  };
  remove: { give: string; told: never; result: undefined };
  /** A PEFT directory as a .zip. */
  export: { give: string; told: never; result: Uint8Array<ArrayBuffer> };
}
export type Task = keyof Tasks;

interface Request<T extends Task> {
  readonly id: number;
  readonly task: T;
  readonly give: Tasks[T]['give'];
}
interface Cancel {
  readonly cancel: number;
}
type Reply = { readonly id: number } & ({ told: unknown } | { result: unknown } | { error: string });

export type Call = <T extends Task>(
  task: T,
  give: Tasks[T]['give'],
  options?: { on?: (told: Tasks[T]['told']) => void; signal?: AbortSignal },
) => Promise<Tasks[T]['result']>;

/** The page's end. */
export function connect(worker: Worker): Call {
  const waiting = new Map<number, (reply: Reply) => void>();
  let calls = 0;
  worker.addEventListener('message', ({ data }: MessageEvent<Reply>) => waiting.get(data.id)?.(data));
  worker.addEventListener('error', ({ message }) => {
    for (const [id, take] of waiting)
      take({ id, error: `the worker failed: ${message || 'it could not be loaded'}` });
  });
  return async (task, give, { on, signal } = {}) =>
    new Promise((resolve, reject) => {
      const id = ++calls;
      waiting.set(id, (reply) => {
        if ('told' in reply) return on?.(reply.told as Tasks[typeof task]['told']);
        waiting.delete(id);
        if ('error' in reply) reject(new Error(reply.error));
        else resolve(reply.result as Tasks[typeof task]['result']);
      });
      signal?.addEventListener('abort', () => worker.postMessage({ cancel: id } satisfies Cancel));
      worker.postMessage({ id, task, give } satisfies Request<typeof task>);
    });
}

export type Handlers = {
  readonly [T in Task]: (
    give: Tasks[T]['give'],
    tell: (news: Tasks[T]['told']) => void,
    signal: AbortSignal,
  ) => Promise<Tasks[T]['result']>;
};

/** The worker's end: one task after another, since there is one model. */
export function serve(handlers: Handlers): void {
  const stops = new Map<number, AbortController>();
  let queue = Promise.resolve();

  async function run<T extends Task>({ id, task, give }: Request<T>, signal: AbortSignal): Promise<void> {
    const reply = (what: object): void => postMessage({ id, ...what });
    try {
      reply({ result: await handlers[task](give, (told) => reply({ told }), signal) });
    } catch (error) {
      reply({ error: signal.aborted ? 'stopped' : error instanceof Error ? error.message : String(error) });
    } finally {
      stops.delete(id);
    }
  }
  addEventListener('message', ({ data }: MessageEvent<Request<Task> | Cancel>) => {
    if ('cancel' in data) return stops.get(data.cancel)?.abort();
    const stop = new AbortController();
    stops.set(data.id, stop);
    queue = queue.then(async () => run(data, stop.signal));
  });
}
