/**
 * An adapter is two files, and whoever writes them may be killed in between. There is never a pair of two saves: an old
 * configuration that says something else goes before new weights take their place, and weights alone are no adapter,
 * neither here nor in PEFT. One that says the same (training that saves now and then) stays.
 */
import { BaxError } from '@bax/core';
import { ADAPTER_CONFIG } from './peft-names.ts';
import type { Chunks, Folder, WritableFolder } from './source.ts';

const MAX_BYTES = 1 << 20;

/** Writes the weights, by `writeWeights` into the folder that it is given, and then the configuration. */
export async function writePair(
  folder: WritableFolder,
  config: string,
  writeWeights: (folder: Pick<WritableFolder, 'write'>) => Promise<number>,
): Promise<number> {
  const put = async (text: string): Promise<number> =>
    folder.write(ADAPTER_CONFIG, [new TextEncoder().encode(text)]);
  const old = (await folder.has(ADAPTER_CONFIG)) ? await readOrNot(folder) : undefined;
  let removed = false;
  /** The weights lie beside their place when all chunks were taken: until then the old adapter is whole. */
  async function* thenRemove(chunks: Chunks): AsyncGenerator<Uint8Array> {
    yield* chunks;
    removed = await folder.remove(ADAPTER_CONFIG);
  }
  let bytes: number;
  try {
    bytes = await writeWeights({
      write: async (name, chunks, size) =>
        folder.write(name, old === config ? chunks : thenRemove(chunks), size),
    });
  } catch (error) {
    if (removed && old !== undefined) await put(old);
    throw error;
  }
  await put(config);
  return bytes;
}

/** What the file says; undefined if it is none that could be loaded. */
const readOrNot = async (folder: Folder): Promise<string | undefined> =>
  folder.readText(ADAPTER_CONFIG, MAX_BYTES).catch(() => undefined);

/** @throws if the configuration, which was read before the weights were opened, is not that any more. */
export async function mustStillSay(folder: Folder, config: string): Promise<void> {
  if ((await readOrNot(folder)) !== config)
    throw new BaxError(`loadAdapter: ${folder.name} was changed while it was read; load it again`);
}
