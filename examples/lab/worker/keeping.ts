/** What stays in this browser when the page is closed: folders of its private file system, where it lets the page. */
import {
  type Folder,
  type Gpt2,
  type LoraModel,
  opfsFolder,
  opfsFolders,
  removeOpfsFolder,
  saveAdapter,
} from 'bax';
import type { Begin, Evaluation, Step } from './tasks.ts';
import type { NotKept } from './shelf-tasks.ts';

/** The origin may be home to other pages. */
const HOME = 'bax-lab';
/** A folder for each adapter: a PEFT directory. */
export const ADAPTERS = `${HOME}/adapters`;
/** A folder for each time that the run was kept, of which the newest counts: the adapter, and at last `RUN`. */
const RUNS = `${HOME}/runs`;
const RUN = 'run.json';
const MOST_BYTES = 1 << 28;

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Makes a folder and fills it, or leaves none. What is in the way is said, not thrown: the page goes on without. */
export async function store(
  path: string,
  fill: (folder: Awaited<ReturnType<typeof opfsFolder>>) => Promise<unknown>,
): Promise<NotKept | undefined> {
  try {
    const folder = await opfsFolder(path, { create: true });
    const isNew = (await folder.list()).length === 0;
    try {
      await fill(folder);
    } catch (error) {
      if (isNew) await removeOpfsFolder(path).catch(() => undefined); // the first error is the one to tell
      throw error;
    }
    return undefined;
  } catch (error) {
    if (error instanceof Error && 'fault' in error) throw error; // the GPU's, which has nothing to do with keeping
    return { notKept: 'refused', reason: messageOf(error) };
  }
}

/** All that the page shows of a run, beside its adapter. */
export interface KeptRun {
  readonly version: 1;
  /** Of the text that it learns. */
  readonly text: number;
  readonly begin: Begin;
  readonly steps: readonly Step[];
  readonly evaluations: readonly Evaluation[];
}

/** Keeps the run in the place of the one before, which goes when this one is whole. */
export async function keepRun(lora: LoraModel<Gpt2>, run: KeptRun): Promise<NotKept | undefined> {
  const before = await opfsFolders(RUNS).catch(() => []);
  if (!(await isAlone())) return { notKept: 'otherTab', reason: '' };
  const name = Math.max(0, ...before.map(Number)) + 1;
  const trouble = await store(`${RUNS}/${name}`, async (folder) => {
    await saveAdapter(lora, folder);
    await folder.write(RUN, [new TextEncoder().encode(JSON.stringify(run))]);
  });
  if (!trouble) for (const old of before) await removeOpfsFolder(`${RUNS}/${old}`);
  return trouble;
}

/** The newest run that is whole. */
export async function keptRun(): Promise<{ readonly folder: Folder; readonly run: KeptRun } | undefined> {
  const names = (await opfsFolders(RUNS)).sort((a, b) => Number(b) - Number(a));
  for (const name of names) {
    const folder = await opfsFolder(`${RUNS}/${name}`);
    if (!(await folder.has(RUN))) continue; // the tab was closed while it was written
    const run = JSON.parse(await folder.readText(RUN, MOST_BYTES)) as KeptRun;
    if (run.version === 1) return { folder, run };
  }
  return undefined;
}

let alone: Promise<boolean> | undefined;
/** Whether no other tab keeps a run: they would keep over one another. A lock is this tab's until it is closed. */
async function isAlone(): Promise<boolean> {
  alone ??= new Promise((resolve) => {
    const { locks } = navigator as { locks?: LockManager };
    if (!locks) return resolve(true);
    const taken = async (): Promise<never> => {
      resolve(true);
      return new Promise(() => undefined);
    };
    locks.request(RUNS, { signal: AbortSignal.timeout(500) }, taken).catch(() => resolve(false));
  });
  const isSo = await alone;
  if (!isSo) alone = undefined; // the other may be closed by the next time
  return isSo;
}
