/**
 * The main job: a pretrained Transformer is adapted to a text with LoRA.
 *
 *   npm start                        Moby-Dick, every linear layer, r = 8
 *   npm start -- --targets q,v      query and value alone, as in the paper
 *   npm start -- --help
 */
import { stat } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import {
  adamW, attachLora, BaxError, compareMerged, device, fromHost, generate, key, loadGpt2, loadTokenizer, perplexity, planLora,
  randomWindows, saveAdapter, saveGpt2, train, warmupLinear, type Gpt2, type LoraModel, type SavedAdapter, type TextBatch,
  type Tokenizer,
} from 'bax'; // prettier-ignore
import { openFolder } from 'bax/node';
import { lossChart } from './chart.ts';
import { mobyDick, splitText, stateOfTheUnion, tokenize, type Corpus } from './corpora.ts';
import { BASE, help, readOptions, type Options } from './options.ts';
import { clock, count, progressLine } from './progress.ts';
import { reportText, type BeforeAfter } from './report.ts';

const EVALUATED_WINDOWS = 32;
const SAMPLE_TOKENS = 60;
const SAVE_EVERY = 10;
const MAX_TEXT_BYTES = 256 << 20;
const progress = progressLine();

/** What a failure or Ctrl-C leaves behind, once training has begun. */
let kept: string | undefined;

async function main(options: Options): Promise<void> {
  const stop = new AbortController();
  const { signal } = stop;
  process.on('SIGINT', () => (signal.aborted ? process.exit(130) : stop.abort()));

  // Whatever can be wrong is looked at before anything is trained or written.
  const backend = await device(options.device, { software: true }); // who names webgpu gets what there is of it
  await mustExist('model', options.model, 'directory');
  const folder = await openFolder(options.model);
  const model = await loadGpt2(folder, { signal });
  const tokenizer = await loadTokenizer(folder);
  if (tokenizer.vocabSize > model.config.vocab_size)
    throw new BaxError(
      `${options.model}: the tokenizer has ${tokenizer.vocabSize} tokens, the model ${model.config.vocab_size}`,
    );
  const longest = model.config.n_positions;
  const context = Math.min(options.context, longest);
  const promptTokens = tokenizer.encode(options.prompt).length;
  if (promptTokens >= longest)
    throw new BaxError(
      `--prompt is ${promptTokens} tokens long; the model's context of ${longest} must hold it and what follows`,
    );
  const plan = planLora(model, {
    targets: options.targets,
    r: options.r,
    alpha: options.alpha,
    dropout: options.dropout,
  });
  console.log(
    `${count(model.parameterCount)} parameters from ${shown(options.model)}, on ${backend.name} (${backend.info.adapter})`,
  );

  const corpus = await corpusOf(options);
  const [learn, held] = [tokenize(tokenizer, corpus.train), tokenize(tokenizer, corpus.validation)];
  if (Math.min(learn.length, held.length) <= context)
    throw new BaxError(
      `${corpus.name}: ${learn.length} tokens to learn from and ${held.length} held out; both must be longer than a window of ${context}. Give a longer text or a smaller --context`,
    );
  const lora = await attachLora(model, plan, { key: key(options.seed) });
  const out = await openFolder(options.out, { create: true });
  const adapter = join(options.out, 'adapter');
  const save = async (steps: number): Promise<SavedAdapter> => {
    const adapterFolder = await openFolder(adapter, { create: true });
    const saved = await saveAdapter(lora, adapterFolder, { baseModel: resolve(options.model) });
    kept = `the adapter after ${steps} of ${options.steps} steps, in ${shown(adapter)}`;
    return saved;
  };
  const shrunk =
    context < options.context ? ` (--context ${options.context} is more than the model takes)` : '';
  console.log(
    `${plan.entries.length} adapters, ${count(plan.parameters)} trainable parameters; text: ${corpus.name}, ${count(learn.length)} tokens in windows of ${context}${shrunk}`,
  );
  const own = resolve(options.model) === BASE ? tokenize(tokenizer, stateOfTheUnion().validation) : undefined;

  const measure = async (m: Gpt2, what: string): Promise<Measures> => {
    const measured = (tokens: Int32Array, on: string): Promise<number> =>
      perplexity(m, tokens, {
        context,
        batch: options.batch,
        limit: EVALUATED_WINDOWS,
        signal,
        onProgress: ({ done, total }) =>
          progress.show(`measuring perplexity ${what}, on ${on}: ${Math.round((100 * done) / total)} % done`),
      });
    return {
      target: await measured(held, corpus.name),
      own: own && (await measured(own, 'its own domain')),
      sample: await sample(m, tokenizer, options, signal),
    };
  };
  const before = await measure(model, 'before');
  const { losses, seconds } = await learnFrom(lora, learn, context, options, signal, save);
  const saved = await save(losses.length);
  await out.write('loss.svg', [
    new TextEncoder().encode(lossChart(losses, `LoRA on ${corpus.name}: training loss`)),
  ]);
  signal.throwIfAborted();
  const after = await measure(lora.model, 'after');
  const { model: merged, report: merge } = await lora.merge();
  const mergedFolder = await openFolder(join(options.out, 'merged'), { create: true });
  await saveGpt2(merged, mergedFolder);
  for (const file of ['tokenizer.json', 'tokenizer_config.json'])
    if (await folder.has(file))
      await mergedFolder.write(file, [new TextEncoder().encode(await folder.readText(file, MAX_TEXT_BYTES))]);
  const ids = fromHost(held.slice(0, context), [1, context], 'i32');
  const text = reportText({
    text: corpus.name,
    plan,
    modelBytes: model.parameterCount * 4,
    saved,
    steps: losses.length,
    seconds,
    target: pair(before.target, after.target),
    own: before.own === undefined ? undefined : pair(before.own, after.own!),
    prompt: options.prompt,
    samples: pair(before.sample, after.sample),
    merge,
    comparison: await compareMerged(lora.model, merged, ids, model.config.n_layer),
    files: (
      [
        ['adapter', "A and B in PEFT's format"],
        ['merged', 'the merged model, a plain Hugging Face directory'],
        ['loss.svg', 'the loss of each step'],
        ['report.md', 'this page'],
      ] as const
    ).map(([name, what]) => [shown(join(options.out, name)), what] as const),
    adapter: shown(adapter),
    model: shown(options.model),
  });
  await out.write('report.md', [new TextEncoder().encode(text)]);
  progress.done();
  console.log(`\n${text}`);
}

interface Measures {
  readonly target: number;
  readonly own: number | undefined;
  readonly sample: string;
}
const pair = <T>(before: T, after: T): BeforeAfter<T> => ({ before, after });
/** From here if it is below, else whole. */
function shown(path: string): string {
  const way = relative('.', path) || '.';
  return way.startsWith('..') ? resolve(path) : way;
}

async function mustExist(option: string, path: string, what: 'file' | 'directory'): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (!(what === 'file' ? found?.isFile() : found?.isDirectory()))
    throw new BaxError(`--${option} ${path}: there is no such ${what}`);
}

async function corpusOf({ data }: Options): Promise<Corpus> {
  if (data === undefined) return mobyDick();
  await mustExist('data', data, 'file');
  const folder = await openFolder(dirname(data), { followLinks: true });
  return splitText(data, await folder.readText(basename(data), MAX_TEXT_BYTES));
}

async function learnFrom(
  lora: LoraModel<Gpt2>,
  tokens: Int32Array,
  context: number,
  options: Options,
  signal: AbortSignal,
  save: (steps: number) => Promise<unknown>,
): Promise<{ losses: number[]; seconds: number }> {
  const { steps, batch, lr, seed } = options;
  const started = performance.now();
  kept = `nothing, as the adapter is saved every ${SAVE_EVERY} steps`;
  const { losses } = await train<TextBatch>({
    loss: ({ ids, targets }, { key: stepKey }) => lora.model.loss(ids, targets, { key: stepKey }),
    batches: (step) => randomWindows(tokens, step, { context, batch, seed }),
    optimizer: adamW(lora.parameters(), { lr, weightDecay: 0 }),
    schedule: warmupLinear({ lr, steps, warmup: Math.min(5, steps - 1) }),
    clip: 1,
    steps,
    seed,
    replay: true,
    signal,
    onStep: async ({ step, loss, tokensPerSecond, secondsLeft }) => {
      progress.show(
        `step ${step + 1}/${steps}  loss ${loss.toFixed(3)}  ${tokensPerSecond.toFixed(0)} tokens/s  ${clock(secondsLeft)} left  (Ctrl-C stops and keeps)`,
      );
      if ((step + 1) % SAVE_EVERY === 0) await save(step + 1);
    },
  });
  const seconds = (performance.now() - started) / 1000;
  progress.done(`trained ${losses.length} steps in ${clock(seconds)}, loss ${losses.at(-1)?.toFixed(3)}`);
  return { losses, seconds };
}

async function sample(
  model: Gpt2,
  tokenizer: Tokenizer,
  { prompt, seed }: Options,
  signal: AbortSignal,
): Promise<string> {
  const ids = tokenizer.encode(prompt);
  const tokens: number[] = [];
  for await (const token of generate(model, ids, {
    maxNewTokens: Math.min(SAMPLE_TOKENS, model.config.n_positions - ids.length),
    temperature: 0.8,
    topK: 40,
    seed,
    signal,
  }))
    tokens.push(token);
  signal.throwIfAborted(); // which ends generate without an error
  return prompt + tokenizer.decode(tokens);
}

try {
  const options = readOptions(process.argv.slice(2));
  if (options) await main(options);
  else console.log(help());
} catch (error) {
  progress.done();
  const stopped = (error as Error).name === 'AbortError';
  if (!stopped && !(error instanceof BaxError)) throw error;
  if (stopped) console.log(`Stopped. Kept: ${kept ?? 'nothing, as training had not begun'}.`);
  else console.error(`bax: ${(error as Error).message}${kept === undefined ? '' : `\n  kept: ${kept}`}`);
  process.exitCode = stopped ? 130 : 1;
}
