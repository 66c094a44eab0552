/** P23: an adapter is two files of one save, whenever the process that writes them ends. */
import { BaxError, setBackend } from '@bax/core';
import { cpu } from '@bax/cpu';
import {
  loadAdapter,
  memoryFolder,
  saveAdapter,
  type Gpt2,
  type LoraModel,
  type WritableFolder,
} from '@bax/nn';
import { beforeEach, expect, it } from 'vitest';
import { randomAdapter, tinyGpt2 } from '../support/gpt2.ts';
import { failure } from './support.ts';

const [CONFIG, WEIGHTS] = ['adapter_config.json', 'adapter_model.safetensors'];
let model: Gpt2;
let [old, next, more]: LoraModel<Gpt2>[] = [] as never;
beforeEach(() => {
  const backend = cpu();
  setBackend(backend);
  model = tinyGpt2({ backend });
  // Nothing but α and the numbers differ: the shapes would not tell.
  old = randomAdapter(model, { r: 2, alpha: 4, targets: ['c_attn'] }, { seed: 1 });
  next = randomAdapter(model, { r: 2, alpha: 8, targets: ['c_attn'] }, { seed: 2 });
  more = randomAdapter(model, { r: 2, alpha: 4, targets: ['c_attn'] }, { seed: 3 });
});

type Files = Record<string, string>;
async function filesOf(folder: WritableFolder): Promise<Files> {
  const all: Files = {};
  for (const name of await folder.list()) {
    const source = await folder.open(name);
    all[name] = Buffer.from(await source.read(0, source.size)).toString('latin1');
  }
  return all;
}
async function saved(lora: LoraModel<Gpt2>): Promise<{ folder: WritableFolder; files: Files }> {
  const folder = memoryFolder({}, 'mine');
  await saveAdapter(lora, folder);
  return { folder, files: await filesOf(folder) };
}

/** The folder as one sees it whose `which`-th act (a look, a chunk, a deletion, a rename) meets `fate`, before or after it. */
function fatal(
  folder: WritableFolder,
  which: number,
  after: boolean,
  fate: () => Promise<never>,
): WritableFolder {
  let acts = 0;
  const act = async <T>(f: () => Promise<T>): Promise<T> => {
    const mine = ++acts === which;
    if (mine && !after) await fate();
    const done = await f();
    if (mine && after) await fate();
    return done;
  };
  return {
    ...folder,
    has: async (name) => act(async () => folder.has(name)),
    readText: async (name, most) => act(async () => folder.readText(name, most)),
    remove: async (name) => act(async () => folder.remove(name)),
    async write(name, chunks, bytes) {
      const parts: Uint8Array[] = [];
      for await (const chunk of chunks) await act(async () => void parts.push(new Uint8Array(chunk)));
      return act(async () => folder.write(name, parts, bytes));
    },
  };
}
const ACTS = 12;

it('killed at any moment: the old pair, the new one, or no adapter', async () => {
  const seen: string[] = [];
  for (let which = 1; which <= ACTS; which++)
    for (const after of [false, true]) {
      const { folder, files: before } = await saved(old);
      const { files: then } = await saved(next);
      await new Promise<void>((killed) => {
        const end = async (): Promise<never> => (killed(), new Promise<never>(() => undefined)); // it never goes on
        void saveAdapter(next, fatal(folder, which, after, end)).then(() => killed());
      });
      const left = await filesOf(folder);
      const say = (name: string): string => (left[name] === undefined ? 'none' : left[name] === before[name] ? 'old' : left[name] === then[name] ? 'new' : 'other'); // prettier-ignore
      seen.push(`${say(CONFIG)} ${say(WEIGHTS)}`);
      if (left[CONFIG] === undefined)
        expect(await failure(() => loadAdapter(model, folder))).toBe('loadAdapter: mine is not an adapter: it has no adapter_config.json'); // prettier-ignore
      else await loadAdapter(model, folder);
    }
  expect([...new Set(seen)]).toEqual(['old old', 'none old', 'none new', 'new new']);
  // Only between the deletion and the rename that follows it: not while the weights are written.
  expect(seen.filter((state) => state === 'none old')).toHaveLength(2);
});

it('killed while it saves under the same configuration, as training does now and then: always an adapter', async () => {
  const seen = new Set<string>();
  for (let which = 1; which <= ACTS; which++) {
    const { folder, files: before } = await saved(old);
    const { files: then } = await saved(more);
    expect(then[CONFIG]).toBe(before[CONFIG]);
    await new Promise<void>((killed) => {
      const end = async (): Promise<never> => (killed(), new Promise<never>(() => undefined));
      void saveAdapter(more, fatal(folder, which, true, end)).then(() => killed());
    });
    const left = await filesOf(folder);
    expect(left[CONFIG]).toBe(before[CONFIG]);
    seen.add(left[WEIGHTS] === before[WEIGHTS] ? 'old' : left[WEIGHTS] === then[WEIGHTS] ? 'new' : 'other');
  }
  expect([...seen]).toEqual(['old', 'new']);
});

it('a disk that fails while the weights are written, or put in their place, leaves the old pair', async () => {
  const seen: string[] = [];
  for (let which = 1; which <= ACTS; which++) {
    const { folder, files: before } = await saved(old);
    const { files: then } = await saved(next);
    const fail = async (): Promise<never> => Promise.reject(new BaxError('the disk failed'));
    const error: unknown = await saveAdapter(next, fatal(folder, which, false, fail)).catch((caught: unknown) => caught); // prettier-ignore
    const left = await filesOf(folder);
    if (left[WEIGHTS] === before[WEIGHTS]) expect(left).toEqual(before);
    else expect(left).toEqual(left[CONFIG] === undefined ? { [WEIGHTS]: then[WEIGHTS] } : then);
    seen.push(error instanceof BaxError ? error.message : 'saved');
  }
  expect(new Set(seen)).toEqual(new Set(['the disk failed', 'saved']));
});

it('one that is replaced while it is read is not taken for a pair', async () => {
  const { folder } = await saved(old);
  let replaced = false;
  const busy: WritableFolder = {
    ...folder,
    async open(name) {
      if (name === WEIGHTS && !replaced) {
        replaced = true;
        await saveAdapter(next, folder);
      }
      return folder.open(name);
    },
  };
  expect(await failure(() => loadAdapter(model, busy))).toBe('loadAdapter: mine was changed while it was read; load it again'); // prettier-ignore
  expect((await loadAdapter(model, busy)).lora.adapter().config.alpha).toBe(8);
});
