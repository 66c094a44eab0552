/** Proves a saved adapter on its base: files, shapes, numbers, and that merging it is exact. */
import { type Backend, BaxError } from '@bax/core';
import { cpu } from '@bax/cpu';
import { type Folder, type Gpt2, type JsonObject, loadAdapter, loadGpt2, type LoraModel } from '@bax/nn';
import { askOf } from '../adapter/asked.ts';
import { tryLaw } from '../adapter/check-lora.ts';
import { adapterLaws, type Subject } from '../adapter/laws.ts';
import { CheckError, isUntried, messageOf } from '../errors.ts';
import { checkRunOptions, type RunOptions } from '../run.ts';
import { type AdapterFile, assertFinite, openWeights, pairsOf, readConfig } from './adapter-files.ts';
import { assertCounts, assertNotZero, assertShapes, assertTargets, factsOf } from './file-laws.ts';
import type { LayerFacts, Verdict, VerifyReport } from './report.ts';

export interface VerifyOptions extends Pick<RunOptions, 'seed' | 'timeBudget'> {
  /** Random inputs for each law beside the first. Default 4. */
  readonly cases?: number;
  /** Where it is computed; it must have f64. Default: a cpu of its own. */
  readonly backend?: Backend;
  /** Told of each law when it is done. */
  readonly progress?: (verdict: Verdict) => void;
}

/** What the laws find and need. */
interface Findings {
  config?: JsonObject;
  weights?: Awaited<ReturnType<typeof openWeights>>;
  adapter?: AdapterFile;
  base?: Gpt2;
  lora?: LoraModel<Gpt2>;
  layers: readonly LayerFacts[];
  warnings: string[];
}

interface Step {
  readonly name: string;
  readonly says: string;
  /** What an earlier law must have found. */
  readonly needs?: readonly (keyof Findings)[];
  /** Whether it is tried on random inputs, and so takes a share of the time. */
  readonly random?: boolean;
  readonly run: (found: Findings, options: RunOptions) => Promise<string>;
}

/** Which laws of `checkLora` are tried, and what is said of them; `inputs`: whether on random ones. */
const ON_THE_MODEL: readonly { law: string; name: string; says: string; done: string; inputs?: true }[] = [
  { law: 'P24', name: 'rank', says: 'merging adds to each weight no more than rank r (P4)', done: 'no weight changes by more than rank r' },
  { law: 'P21', name: 'disabled', says: 'disabled, the model computes the bits of its base (P21)', done: 'the bits of the base', inputs: true },
  { law: 'every adapted', name: 'acts', says: 'every adapted layer changes the output, unless its B A is zero', done: 'every layer that is not zero changes the output', inputs: true },
  { law: 'P6', name: 'merged', says: 'merged is unmerged in f32: weights within their bound (P33), outputs within what f32 costs (P34)', done: 'weights within their bound, outputs within what f32 costs', inputs: true },
  { law: 'P23', name: 'saved', says: 'saved again and loaded, every tensor has its bits (P23)', done: 'the same bits' },
  { law: 'P5', name: 'base bits', says: 'no bit of the base changes by any of this (P5)', done: 'unchanged' },
]; // prettier-ignore

function steps(base: Folder, adapter: Folder, backend: Backend, cases: number): Step[] {
  return [
    {
      name: 'configuration',
      says: "adapter_config.json is there, and is LoRA's",
      async run(found) {
        found.config = await readConfig(adapter);
        const { r = 8, lora_alpha: alpha = 8, use_dora: dora, use_rslora: rslora } = found.config;
        return `r = ${JSON.stringify(r)}, α = ${JSON.stringify(alpha)}${dora === true ? ', DoRA' : ''}${rslora === true ? ', rsLoRA' : ''}`; // prettier-ignore
      },
    },
    {
      name: 'file',
      says: 'adapter_model.safetensors is whole: its header, and the bytes that it speaks of',
      async run(found) {
        found.weights = await openWeights(adapter);
        return `${found.weights.file.tensors.size} tensors, ${found.weights.size} bytes`;
      },
    },
    {
      name: 'keys',
      says: 'every A has its B, and the file is not empty',
      needs: ['weights'],
      async run(found) {
        const { file, size } = found.weights!;
        found.adapter = pairsOf(file, size);
        return `${found.adapter.pairs.length} pairs of A and B`;
      },
    },
    {
      name: 'values',
      says: 'every number is finite',
      needs: ['weights'],
      async run(found) {
        await assertFinite(found.weights!.file);
        return 'every number is finite';
      },
    },
    {
      name: 'base',
      says: 'the base is a whole GPT-2: every weight is there, of its shape, and finite',
      async run(found) {
        const model = await loadGpt2(base, { backend });
        for (const [path, p] of model.namedParameters())
          if (!(await p.data()).every(Number.isFinite)) throw new CheckError(`${path} holds values that are not finite`); // prettier-ignore
        found.base = model;
        const { n_layer, n_embd, vocab_size } = model.config;
        return `GPT-2 of ${n_layer} layers, width ${n_embd}, ${vocab_size} tokens; ${model.parameterCount} numbers`;
      },
    },
    {
      name: 'shapes',
      says: 'A is [r, in] and B [out, r] of a layer of the base, with r of the configuration',
      needs: ['config', 'adapter', 'base'],
      run: async (found) => assertShapes(found.base!, found.config!, found.adapter!),
    },
    {
      name: 'targets',
      says: 'every name in target_modules means a layer of the base that has factors',
      needs: ['config', 'adapter', 'base'],
      run: async (found) => assertTargets(found.base!, found.config!, found.adapter!),
    },
    {
      name: 'loads',
      says: 'it loads onto the base, all of it, and nothing is left over',
      needs: ['config', 'adapter', 'base'],
      async run(found) {
        const { lora, warnings, unknownKeys } = await loadAdapter(found.base!, adapter).catch(onAnotherBase);
        found.lora = lora;
        found.warnings.push(...warnings, ...unknownKeys.map((key) => `adapter_config.json: ${key} is not known to bax, and was ignored`)); // prettier-ignore
        found.layers = await factsOf(lora);
        return `${lora.adapter().parameterCount} numbers are trained`;
      },
    },
    {
      name: 'counts',
      says: 'configuration, file and bytes count the same numbers (P24)',
      needs: ['adapter', 'lora'],
      run: async (found) => assertCounts(found.base!, found.adapter!),
    },
    {
      name: 'not zero',
      says: 'the adapter has something to add',
      needs: ['lora'],
      run: async (found) => assertNotZero(found.layers, found.lora!.adapter()),
    },
    {
      name: 'merged, f64',
      says: 'merged is unmerged in f64, to 2^-40 of the largest logit: the algebra of all of it (P34)',
      needs: ['lora'],
      random: true,
      async run(_, options) {
        const wide = await loadGpt2(base, { backend, dtype: 'f64' });
        try {
          const { lora } = await loadAdapter(wide, adapter);
          try {
            await onModel(lora, 'P6', cases, options);
          } finally {
            lora.detach();
          }
        } finally {
          wide.dispose();
        }
        return 'to 2^-40 of the largest logit';
      },
    },
    ...ON_THE_MODEL.map(({ law, name, says, done, inputs }): Step => ({
      name,
      says,
      needs: ['lora'],
      random: inputs ?? false,
      async run({ lora }, options) {
        await onModel(lora!, law, inputs ? cases : 0, options);
        return done;
      },
    })),
  ];
}

/** What `loadAdapter` advises of an adapter of another base, for those who only verify. */
function onAnotherBase(error: unknown): never {
  const advice = 'Load the base that it was trained on, or pass { anyBase: true }';
  if (!(error instanceof BaxError && error.message.endsWith(advice))) throw error;
  const message = error.message.replace(advice, 'Give the base that it was trained on');
  throw new BaxError(message, { cause: error });
}

/** A law of `checkLora`, tried on the adapter as it is and on so many random inputs. */
async function onModel(
  lora: LoraModel<Gpt2>,
  prefix: string,
  cases: number,
  options: RunOptions,
): Promise<void> {
  const law = adapterLaws.find(({ name }) => name.startsWith(prefix))!;
  const subject: Subject<Gpt2> = { lora, ask: askOf('verify', lora, undefined), untie: true, plan: undefined, found: { dead: new Set() } }; // prettier-ignore
  await tryLaw({ ...law, cases }, subject, { ids: true, moves: false }, options);
}

/**
 * Proves a saved adapter on its base, a GPT-2 directory of `transformers` and an adapter directory of PEFT or `saveAdapter`:
 * what the files hold, whether it fits, what it does to each layer, and that merging it is exact, in f64 and in f32. Every
 * law that can be tried is tried, and what comes of it is in the report. Nothing is written.
 * @throws BaxError for options that mean nothing.
 */
export async function verifyAdapter(
  base: Folder,
  adapter: Folder,
  { seed = 1, cases = 4, timeBudget, backend = cpu(), progress }: VerifyOptions = {},
): Promise<VerifyReport> {
  checkRunOptions('verify', { seed, ...(timeBudget === undefined ? {} : { timeBudget }) });
  if (!(Number.isSafeInteger(cases) && cases >= 0))
    throw new BaxError(`verify: cases is ${cases}; it is a number of random inputs, from 0`);
  if (!backend.info.dtypes.includes('f64'))
    throw new BaxError(
      `verify: ${backend.name} has no f64, in which the algebra is proved; take cpu or wasm`,
    );
  const found: Findings = { layers: [], warnings: [] };
  const all = steps(base, adapter, backend, cases);
  const laws: Verdict[] = [];
  const end = performance.now() + (timeBudget ?? Infinity);
  try {
    for (const [i, step] of all.entries()) {
      const left = all.slice(i).filter(({ random }) => random).length;
      const share = timeBudget === undefined ? {} : { timeBudget: Math.max(0, end - performance.now()) / Math.max(1, left) }; // prettier-ignore
      laws.push(await verdictOf(step, found, { seed, ...share }));
      progress?.(laws.at(-1)!);
    }
  } finally {
    await found.weights?.file.close();
    found.lora?.detach();
    found.base?.dispose();
  }
  const ok = laws.every(({ state }) => state === 'held');
  return { base: base.name, adapter: adapter.name, seed, cases, ok, laws, layers: found.layers, warnings: found.warnings }; // prettier-ignore
}

async function verdictOf(
  { name, says, needs = [], run }: Step,
  found: Findings,
  options: RunOptions,
): Promise<Verdict> {
  const lacking = needs.find((key) => found[key] === undefined);
  if (lacking !== undefined)
    return {
      name,
      says,
      state: 'not tried',
      message: `not tried: ${WHY[lacking] ?? lacking} failed`,
      cases: 0,
      ms: 0,
    };
  const start = performance.now();
  let cases = 1;
  const tried = (n: number): void => void (cases = n);
  try {
    const message = await run(found, { ...options, tried });
    return { name, says, state: 'held', message, cases, ms: performance.now() - start };
  } catch (error) {
    const ms = performance.now() - start;
    if (isUntried(error)) {
      const [first] = messageOf((error as Error).cause ?? error).split('\n');
      return { name, says, state: 'not tried', message: first!, cases, ms };
    }
    return { name, says, state: 'broken', message: messageOf(error), cases, ms };
  }
}

/** Which law finds it. */
const WHY: Readonly<Partial<Record<keyof Findings, string>>> = {
  config: 'configuration', weights: 'file', adapter: 'keys', base: 'base', lora: 'loads',
}; // prettier-ignore
