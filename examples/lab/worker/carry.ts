/** Adapters that go home with someone, and that come from there. */
import { BaxError, memoryFolder, readAdapter, saveAdapter, type Gpt2, type LoraModel } from 'bax';
import { zipSync } from 'fflate';
import type { Handlers } from '../../app/calls.ts';
import { ArchiveError, unzip } from './archive.ts';
import { adapted } from './learners.ts';
import { model } from './model.ts';
import { keptModel, putNew, shown } from './shelf.ts';
import type { Tasks } from './tasks.ts';
import type { Refusal } from './shelf-tasks.ts';

const FILES = ['adapter_config.json', 'adapter_model.safetensors'] as const;
/** Of an adapter and its archive. The largest for this model (all of each matrix, in f32) is smaller. */
export const MOST_BYTES = 32_000_000;

export const carrying: Pick<Handlers<Tasks>, 'export' | 'import'> = {
  async export(what) {
    const [lora, adapter] = what.learned ? [adapted(), undefined] : [keptModel(), what.name];
    const files = await peftFiles(lora, adapter);
    const named = Object.entries(files).map(([file, bytes]) => [`${what.name}/${file}`, bytes]);
    return zipSync(Object.fromEntries(named), { level: 0 }); // random numbers do not get smaller
  },

  async import(files) {
    try {
      const { name: given, contents } = await contentsOf(files);
      const folder = memoryFolder(Object.fromEntries(FILES.map((file, i) => [file, contents[i]])), given);
      const { adapter, warnings } = await readAdapter(model().base, folder).catch((error: unknown) => {
        throw error instanceof BaxError ? new Refused('unfit', error.message) : error;
      });
      const name = await putNew(legal(given), adapter);
      return { shelf: shown(), name, warnings };
    } catch (error) {
      if (error instanceof Refused) return { refused: error.refusal };
      throw error;
    }
  },
};

class Refused extends Error {
  readonly refusal: Refusal;
  constructor(why: Refusal['why'], detail = '') {
    super(why);
    this.refusal = { why, detail };
  }
}

async function peftFiles(
  lora: LoraModel<Gpt2>,
  adapter: string | undefined,
): Promise<Record<string, Uint8Array>> {
  const folder = memoryFolder();
  await saveAdapter(lora, folder, { adapter });
  const files: Record<string, Uint8Array> = {};
  for (const file of await folder.list()) {
    const source = await folder.open(file);
    files[file] = await source.read(0, source.size);
  }
  return files;
}

/** The two files, in the order of `FILES`, and what the adapter may be called. */
async function contentsOf(files: readonly File[]): Promise<{ name: string; contents: Uint8Array[] }> {
  const size = files.reduce((sum, file) => sum + file.size, 0);
  if (size > MOST_BYTES) throw new Refused('tooLarge', String(size)); // before a byte is read
  const bytesOf = async (file: File): Promise<Uint8Array> => new Uint8Array(await file.arrayBuffer());
  if (files.length === 1 && !/\.(json|safetensors)$/i.test(files[0].name)) {
    const [{ name }] = files;
    return fromZip(await bytesOf(files[0]), name.replace(/\.zip$/i, ''));
  }
  // A browser may have added something to the names when it saved them: adapter_model (1).safetensors.
  const pair = FILES.map((file) => {
    const found = files.filter(({ name }) => name.toLowerCase().endsWith(file.slice(file.indexOf('.'))));
    if (found.length === 0) throw new Refused('missing', file);
    if (found.length > 1) throw new Refused('several', file);
    return found[0];
  });
  if (files.length > pair.length) throw new Refused('neither', files.map(({ name }) => name).join(', '));
  return { name: 'adapter', contents: await Promise.all(pair.map(bytesOf)) };
}

function fromZip(zip: Uint8Array, archive: string): { name: string; contents: Uint8Array[] } {
  let folder = '';
  const wanted = (names: readonly string[]): string[] => {
    const own = names.filter((name) => !name.startsWith('__MACOSX/'));
    const [config, another] = own.filter((name) => name === FILES[0] || name.endsWith(`/${FILES[0]}`));
    if (config === undefined) throw new Refused('missing', FILES[0]);
    if (another !== undefined) throw new Refused('several', FILES[0]);
    folder = config.slice(0, -FILES[0].length);
    const paths = FILES.map((file) => folder + file);
    const lacking = FILES.find((_, i) => own.filter((name) => name === paths[i]).length !== 1);
    if (lacking) throw new Refused('missing', lacking);
    return paths;
  };
  try {
    const contents = unzip(zip, MOST_BYTES, wanted);
    return { name: folder.split('/').at(-2) ?? archive, contents };
  } catch (error) {
    throw error instanceof ArchiveError ? new Refused(error.why, error.message) : error;
  }
}

/** Of the letters that names may have. */
const legal = (given: string): string =>
  given.replace(/[^\w-]+/g, '-').replace(/^-+|-+$/g, '').slice(0, 40) || 'adapter'; // prettier-ignore
