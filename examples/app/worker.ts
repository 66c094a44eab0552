/** All of bax: the model, its adapter, and what is kept in the browser. */
import {
  adamW, attachLora, BaxError, checkFileName, device, generate, httpFolder, key, loadAdapter, loadGpt2, loadTokenizer,
  opfsFolder, opfsFolders, planLora, randomWindows, removeOpfsFolder, saveAdapter, train, warmupLinear,
  type Folder, type Gpt2, type LoraModel, type Tokenizer, type WritableFolder,
} from 'bax'; // prettier-ignore
import { zipSync } from 'fflate';
import { serve } from './calls.ts';
import type { Tasks } from './tasks.ts';

/** Where adapters are kept, a folder each. */
const KEPT = 'adapters';
/** Blocks of models from the web, kept across visits. */
const CACHE = 'bax-models';
const TRAINING = { r: 8, alpha: 16, lr: 0.005, batch: 4, context: 64 };

interface Opened {
  readonly url: string;
  readonly model: Gpt2;
  readonly tokenizer: Tokenizer;
}
let opened: Opened | undefined;
let lora: LoraModel<Gpt2> | undefined;

function current(): Opened {
  if (!opened) throw new BaxError('there is no model yet; load one');
  return opened;
}
function adapter(): LoraModel<Gpt2> {
  if (!lora) throw new BaxError('there is no adapter yet; train one, or load one');
  return lora;
}
/** Puts another adapter in the place of the one in use, or none. */
function use(next: LoraModel<Gpt2> | undefined): void {
  lora?.detach();
  lora = next;
}
async function kept(name: string, create = false): Promise<WritableFolder> {
  checkFileName(name, 'adapter');
  return opfsFolder(`${KEPT}/${name}`, { create });
}

serve<Tasks>({
  async open({ model: url, device: wanted, software }, tell, signal) {
    let why = ''; // of 'auto', where it found no GPU
    const backend = await device(wanted, { software, say: (message) => (why = ` — ${message}`) });
    const folder = httpFolder(url, { cache: CACHE, signal });
    const tokenizer = await loadTokenizer(folder);
    const model = await loadGpt2(folder, { signal, onProgress: tell });
    use(undefined);
    opened?.model.dispose();
    opened = { url, model, tokenizer };
    return { device: `${backend.name}: ${backend.info.adapter}${why}`, parameters: model.parameterCount };
  },

  async generate({ prompt, tokens, temperature }, tell, signal) {
    const { model, tokenizer } = current();
    const ids = tokenizer.encode(prompt);
    const maxNewTokens = Math.max(1, Math.min(tokens, model.config.n_positions - ids.length));
    const decoder = tokenizer.streamDecoder({ skipSpecialTokens: true });
    for await (const id of generate(lora?.model ?? model, ids, {
      maxNewTokens,
      temperature,
      topK: 40,
      signal,
    }))
      tell(decoder.push(id));
    tell(decoder.flush());
    return undefined;
  },

  async train({ text, steps }, tell, signal) {
    const { model, tokenizer } = current();
    const tokens = tokenizer.encode(text);
    if (tokens.length < 16) throw new BaxError(`the text has ${tokens.length} tokens; give it a few sentences, 16 tokens at least`); // prettier-ignore
    const { r, alpha, lr, batch } = TRAINING;
    const context = Math.min(TRAINING.context, model.config.n_positions, tokens.length - 1);
    // Without an adapter a new one, which changes nothing yet; else the one in use learns more.
    lora ??= await attachLora(model, planLora(model, { r, alpha }), { key: key(1) });
    const { model: adapted } = lora;
    const optimizer = adamW(lora.parameters(), { lr, weightDecay: 0 });
    try {
      const { losses } = await train({
        batches: (step) => randomWindows(tokens, step, { context, batch }),
        loss: ({ ids, targets }, { key: random }) => adapted.loss(ids, targets, { key: random }),
        optimizer,
        schedule: warmupLinear({ lr, steps, warmup: Math.min(5, steps - 1) }),
        clip: 1,
        steps,
        replay: true,
        signal,
        onStep: ({ step, loss, secondsLeft }) => tell({ step, loss, secondsLeft }),
      });
      return { steps: losses.length };
    } finally {
      optimizer.dispose();
    }
  },

  async save(name) {
    return saveAdapter(adapter(), await kept(name, true), { baseModel: current().url });
  },

  list: async () => opfsFolders(KEPT),

  async load(from, _, signal) {
    const { model } = current();
    if (!from) {
      use(undefined);
      return { warnings: [] };
    }
    const folder: Folder = 'url' in from ? httpFolder(from.url, { signal }) : await kept(from.stored);
    const { lora: loaded, warnings } = await loadAdapter(model, folder, { signal });
    use(loaded);
    return { warnings };
  },

  async remove(name) {
    checkFileName(name, 'adapter');
    await removeOpfsFolder(`${KEPT}/${name}`);
    return undefined;
  },

  async export(name) {
    const folder = await kept(name);
    const files: Record<string, Uint8Array> = {};
    for (const file of await folder.list()) {
      const source = await folder.open(file);
      files[`${name}/${file}`] = await source.read(0, source.size);
      await source.close();
    }
    return zipSync(files, { level: 0 }); // random numbers do not get smaller
  },
});
