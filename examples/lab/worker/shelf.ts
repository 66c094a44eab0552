/** The adapters that are kept under names: all of them beside the one base, and each in this browser. */
import {
  BaxError, compareMerged, compressAdapter, LoraModel, negateAdapter, opfsFolder, opfsFolders, readAdapter, removeOpfsFolder,
  saveAdapter, sumAdapters, tensor, type Adapter, type Gpt2,
} from 'bax'; // prettier-ignore
import type { Handlers } from '../../app/calls.ts';
import { freeName } from './free-name.ts';
import { ADAPTERS, messageOf, store } from './keeping.ts';
import { adapted } from './learners.ts';
import { model, promptIds } from './model.ts';
import type { Tasks } from './tasks.ts';
import type { Made, NotKept, Recipe, Same, Shelf, Weights } from './shelf-tasks.ts';

let kept: LoraModel<Gpt2> | undefined;
const broken = new Map<string, string>();
let notKept: NotKept | undefined;
/** What two models are compared on where the prompt is empty: any words will do. */
const NO_PROMPT = 'The';

/** The base with every kept adapter, none of them active until someone wants it. */
export const keptModel = (): LoraModel<Gpt2> => (kept ??= new LoraModel(model().base));
/** Whether an adapter has this name, one that cannot be read, too: its folder is there. */
const isTaken = (name: string): boolean => keptModel().adapters.has(name) || broken.has(name);
/** W + Σ w ΔW. */
export function blended(weights: Weights): Gpt2 {
  const lora = keptModel();
  lora.activate(Object.fromEntries(Object.entries(weights).filter(([, weight]) => weight !== 0)));
  return lora.model;
}

export const shelving: Pick<Handlers<Tasks>, 'shelf' | 'make' | 'remove'> = {
  async shelf() {
    await look();
    return shown();
  },

  async make({ name, of, prompt }) {
    const { adapter, ...proof } = await made(of, prompt);
    return { name: await putNew(name, adapter), shelf: shown(), ...proof };
  },

  async remove(name) {
    if (!broken.delete(name)) keptModel().remove(name).dispose('when it was deleted');
    await removeOpfsFolder(`${ADAPTERS}/${name}`).catch(() => undefined); // where nothing is kept
    return shown();
  },
};

/** Takes all that this browser has kept and that is not here yet. */
async function look(): Promise<void> {
  const names = await opfsFolders(ADAPTERS).catch((error: unknown) => {
    notKept = { notKept: 'refused', reason: messageOf(error) };
    return [];
  });
  for (const name of names) if (!keptModel().adapters.has(name)) await take(name);
}

/** Keeps a new adapter under this name, or under one like it if another tab has taken that. Resolves to its name. */
export async function putNew(wish: string, adapter: Adapter): Promise<string> {
  await look();
  const name = freeName(wish, isTaken);
  await put(name, adapter);
  return name;
}

/** Keeps an adapter, in the place of the one of that name if there is one. It is the shelf's from then on. */
export async function put(name: string, adapter: Adapter): Promise<void> {
  const lora = keptModel();
  try {
    if (lora.adapters.has(name)) lora.swap(name, adapter).dispose('when another took its place');
    else lora.add(name, adapter);
  } catch (error) {
    adapter.dispose();
    throw error;
  }
  broken.delete(name);
  notKept = await store(`${ADAPTERS}/${name}`, async (folder) =>
    saveAdapter(lora, folder, { adapter: name }),
  );
}

export function shown(): Shelf {
  const adapters = [...keptModel().adapters].map(([name, { branches, parameterCount, bytes }]) => ({
    name,
    r: Math.max(0, ...[...branches.values()].map((branch) => branch.r)),
    matrices: branches.size,
    numbers: parameterCount,
    bytes,
  }));
  return { adapters, broken: [...broken].map(([name, reason]) => ({ name, reason })), notKept };
}

/** Takes what this browser has kept. What cannot be read stays there. */
async function take(name: string): Promise<void> {
  try {
    const folder = await opfsFolder(`${ADAPTERS}/${name}`);
    if ((await folder.list()).length === 0) return; // the tab was closed before it was written
    keptModel().add(name, (await readAdapter(model().base, folder)).adapter);
    broken.delete(name);
  } catch (error) {
    broken.set(name, messageOf(error));
  }
}

/** A new adapter, and how far it is what it claims to be. */
async function made(
  of: Recipe,
  prompt: string,
): Promise<Omit<Made, 'shelf' | 'name'> & { adapter: Adapter }> {
  const lora = keptModel();
  if ('learned' in of) return { adapter: adapted().adapter().copy() };
  if ('smaller' in of) {
    const { adapter, errors } = await compressAdapter(lora.adapter(of.smaller), of.r);
    return { adapter, lost: errors.map(({ path, relative }) => ({ path, relative })) };
  }
  if ('negative' in of) {
    const old = lora.adapter(of.negative);
    const adapter = negateAdapter(old);
    return proven(adapter, async () => {
      const beside = new LoraModel(model().base);
      beside.add('one', old);
      beside.add('other', adapter);
      beside.activate(['one', 'other']);
      return compared(beside, model().base, prompt);
    });
  }
  const terms = Object.entries(of.sum).filter(([, weight]) => weight !== 0);
  if (terms.length === 0) throw new BaxError('every weight is 0: there is nothing to add up');
  const adapter = sumAdapters(terms.map(([name, weight]) => ({ adapter: lora.adapter(name), weight })));
  return proven(adapter, async () => {
    const alone = new LoraModel(model().base);
    alone.add('sum', adapter);
    alone.activate('sum');
    blended(of.sum);
    return compared(lora, alone.model, prompt);
  });
}

/** It is freed where it cannot be compared. */
async function proven(
  adapter: Adapter,
  compare: () => Promise<Same>,
): Promise<{ adapter: Adapter; same: Same }> {
  try {
    return { adapter, same: await compare() };
  } catch (error) {
    adapter.dispose();
    throw error;
  }
}

async function compared(lora: LoraModel<Gpt2>, other: Gpt2, prompt: string): Promise<Same> {
  const ids = tensor([promptIds(prompt || NO_PROMPT)], { dtype: 'i32' });
  try {
    const { difference, bound } = await compareMerged(lora.model, other, ids, lora.layers.size);
    return { difference, bound };
  } finally {
    ids.dispose();
  }
}
