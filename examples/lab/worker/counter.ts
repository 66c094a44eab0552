/** Counts adapters of models that need not be there. It is a worker of its own: it answers also while the other one trains. */
import {
  blockOf,
  countLora,
  gpt2Config,
  loraScale,
  matches,
  paperCounts,
  paperMemory,
  planGpt2Lora,
  planMemory,
  type Gpt2Config,
  type LoraPlan,
  type MemoryLedger,
  type MemoryPlan,
} from 'bax';
import { serve } from '../../app/calls.ts';
import { baseFolder } from './home.ts';
import { LEDGER_LINES, type CountChoice, type CountTasks, type Ledger } from './count-tasks.ts';

/** Bytes of a config.json, at most. */
const MOST_CONFIG = 100_000;
/** No masks to keep; the lab's own base has no dropout either. */
const NO_DROPOUT = { resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0 };
const SIZES = {
  gpt2: {},
  'gpt2-medium': { n_embd: 1024, n_layer: 24, n_head: 16 },
  /** GPT-3 was not released: its sizes [LoRA §7, table 5; §1], with GPT-2's kinds of weights. */
  gpt3: { n_embd: 12288, n_layer: 96, n_head: 96, n_positions: 2048 },
} as const;

/** What was found once, by all that it depends on. */
const found = new Map<string, unknown>();
async function once<T>(key: readonly unknown[], make: () => T | Promise<T>): Promise<T> {
  const name = JSON.stringify(key);
  if (!found.has(name)) found.set(name, await make());
  return found.get(name) as T;
}

const configOf = async ({ model, home }: CountChoice, signal: AbortSignal): Promise<Gpt2Config> =>
  once(['config', model], async () => {
    if (model !== 'base') return gpt2Config({ ...SIZES[model], ...NO_DROPOUT });
    const text = await (await baseFolder(home, signal)).readText('config.json', MOST_CONFIG);
    return gpt2Config(JSON.parse(text) as Record<string, unknown>);
  });

/** Which matrices there are does not depend on r. */
const planOf = async (choice: CountChoice, config: Gpt2Config): Promise<LoraPlan> =>
  once(['plan', choice.model, choice.targets], () => planGpt2Lora(config, { targets: choice.targets, r: 1 }));

const ledgerOf = (plan: MemoryPlan): Ledger => {
  const ledger: MemoryLedger = planMemory(plan);
  return Object.fromEntries(LEDGER_LINES.map((line) => [line, ledger[line]])) as Ledger;
};

serve<CountTasks>({
  async count(choice, _, signal) {
    signal.throwIfAborted();
    const config = await configOf(choice, signal);
    const { entries, modelParameters } = await planOf(choice, config);
    const { n_layer: layers, n_embd: width } = config;
    const { r, alpha, targets } = choice;
    const matrices = entries.filter(({ path }) => blockOf(path) === 0);
    const all = { layers, width, matrices, r };
    return {
      blocks: layers,
      matrices: matrices.map(({ path, in: from, out }) => ({
        name: targets.find((target) => matches(target, path))!,
        path,
        in: from,
        out,
        parameters: countLora({ layers: 1, width, matrices: [{ in: from, out }], r }).parameters,
      })),
      scale: loraScale(alpha, r),
      parameters: countLora(all).parameters,
      bytes: { f32: countLora(all).bytes, f16: countLora(all, { storage: 'f16' }).bytes },
      modelParameters,
    };
  },

  async ledger(choice, _, signal) {
    signal.throwIfAborted();
    const model = await configOf(choice, signal);
    const { r, alpha, targets, batch, context, frozen } = choice;
    const plan = { model, batch, context };
    return {
      full: await once(['full', choice.model, batch, context], () => ledgerOf(plan)),
      lora: ledgerOf({ ...plan, lora: { r, alpha, targets }, storage: frozen }),
    };
  },

  async paper() {
    return { counts: paperCounts.rows, memory: paperMemory.rows };
  },
});
