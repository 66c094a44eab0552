/** Several adapters on one base: what switching a task costs, and a batch whose rows use different ones. */
import { type Backend, fromHost, key, noGrad, scope, tensor, type Tensor } from '@bax/core';
import { type Adapter, createAdapter, type Gpt2, LoraModel, planLora } from '@bax/nn';
import { batchOf, type GptSize, openGpt, showSize, SMALL, TINY } from './gpt.ts';
import { leastMs, say, type Suite } from './options.ts';
import { type Engine, engines, kinds } from './ours.ts';
import { type Contender, race, timed } from './rounds.ts';
import { digits, raceRows, type Row } from './table.ts';

const TASKS = ['a', 'b', 'c', 'd'];

interface Opened {
  readonly backend: Backend;
  readonly base: Gpt2;
  readonly lora: LoraModel<Gpt2>;
}
async function openTasks(engine: Engine, size: GptSize): Promise<Opened & { close: () => void }> {
  const backend = await engine.open();
  const base = openGpt(size, backend);
  const lora = new LoraModel(base);
  for (const [i, name] of TASKS.entries()) lora.add(name, await newAdapter(base, i));
  lora.activate('a');
  return { backend, base, lora, close: () => backend.close?.() };
}
const newAdapter = async (base: Gpt2, seed: number): Promise<Adapter> =>
  createAdapter(planLora(base, { targets: ['q', 'v'], r: 8, alpha: 16 }), { key: key(seed) });

export const run: Suite = async ({ rounds, quick }) => {
  const size = quick ? TINY : SMALL;
  const atLeast = leastMs(quick) / 4;
  const rows: Row[] = [];
  for (const engine of kinds) rows.push(...(await bytes(engine, size)));
  rows.push(...(await switching(size, rounds, atLeast)), ...(await mixed(size, rounds, atLeast)));
  return rows;
};

/** What another task takes on the device, and in a file. */
async function bytes(engine: Engine, size: GptSize): Promise<Row[]> {
  const { backend, base, lora, close } = await openTasks(engine, size);
  const before = backend.memory().live;
  const other = await newAdapter(base, 99);
  lora.swap('a', other).dispose();
  const grown = backend.memory().live - before;
  lora.add('e', await newAdapter(base, 100));
  const added = backend.memory().live - before - grown;
  close();
  const name = `bytes of one task more, ${engine.name}`;
  const share = digits((100 * added) / base.parameterBytes);
  return [
    { case: name, who: 'an adapter (q, v, r = 8) added', value: `${added} B`, note: `${share} % of the base's ${base.parameterBytes} B; its own bytes are ${other.bytes}` },
    { case: name, who: 'an adapter swapped for another', value: `${grown} B` },
  ]; // prettier-ignore
}

async function switching(size: GptSize, rounds: number, atLeast: number): Promise<Row[]> {
  const name = `switch the task: ${showSize(size)}`;
  say(name);
  type Opens = (opened: Opened) => Promise<() => unknown>;
  const ways: Readonly<Record<string, Opens>> = {
    'activate another adapter': async ({ lora }) => {
      let i = 0;
      return () => lora.activate(TASKS[++i % TASKS.length]!);
    },
    'swap, factors from the host': async ({ lora, backend }) => uploads(backend, lora.adapter('a').tensors()),
    'merged weights from the host': async ({ backend, base }) => uploads(backend, base.namedParameters()),
  };
  const contenders = engines.flatMap((engine) =>
    Object.entries(ways).map(([way, open]): Contender => ({
      name: `${engine.name}; ${way}`,
      async open() {
        const { close, ...opened } = await openTasks(engine, size);
        const once = await open(opened);
        return { run: () => timed(once, atLeast), close };
      },
    })),
  );
  const compared = (who: string): string[] => [`${who.split('; ')[0]}; merged weights from the host`];
  return raceRows(name, await race(contenders, rounds), compared, { unit: 'ms', of: (ms) => ms });
}

/** Brings these tensors to the device again, and waits until they are there. */
async function uploads(backend: Backend, tensors: ReadonlyMap<string, Tensor>): Promise<() => Promise<void>> {
  const held = await Promise.all(
    [...tensors.values()].map(async (t) => ({ data: await t.data(), shape: t.shape, dtype: t.dtype })),
  );
  return async () => {
    const made = held.map(({ data, shape, dtype }) => fromHost(data, shape, dtype, { backend }));
    await backend.read(made.at(-1)!.view.buffer, 0, 1);
    for (const t of made) t.dispose();
  };
}

async function mixed(size: GptSize, rounds: number, atLeast: number): Promise<Row[]> {
  const one = { ...size, batch: 1 };
  const name = `logits of ${TASKS.length} rows, an adapter each: ${showSize({ ...size, batch: TASKS.length })}`;
  say(name);
  const ids = (backend: Backend, batch: number): Tensor => tensor(batchOf({ ...one, batch }).ids, { shape: [batch, size.context], backend }); // prettier-ignore
  const logits = async (model: Gpt2, x: Tensor, adapters?: readonly string[]): Promise<void> => {
    const y = scope(() => noGrad(() => model.forward(x, { adapters })));
    await y.backend.read(y.view.buffer, 0, 1);
    y.dispose();
  };
  const ways: Readonly<Record<string, (opened: Opened) => () => Promise<void>>> = {
    'one batch, row by row': ({ backend, lora }) => {
      const x = ids(backend, TASKS.length);
      return async () => logits(lora.model, x, TASKS);
    },
    'one batch, one adapter for all': ({ backend, lora }) => {
      const x = ids(backend, TASKS.length);
      return async () => logits(lora.model, x);
    },
    'a batch for each adapter': ({ backend, lora }) => {
      const x = ids(backend, 1);
      return async () => {
        for (const task of TASKS) {
          lora.activate(task);
          await logits(lora.model, x);
        }
      };
    },
  };
  const contenders = engines.flatMap((engine) =>
    Object.entries(ways).map(([way, open]): Contender => ({
      name: `${engine.name}; ${way}`,
      async open() {
        const { close, ...opened } = await openTasks(engine, size);
        const once = open(opened);
        await once();
        return { run: () => timed(once, atLeast), close };
      },
    })),
  );
  const compared = (who: string): string[] => [`${who.split('; ')[0]}; a batch for each adapter`];
  return raceRows(name, await race(contenders, rounds), compared, { unit: 'ms', of: (ms) => ms });
}
