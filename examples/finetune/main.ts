/**
 * The main job: a pretrained Transformer is adapted to a text with LoRA.
 *
 *   npm start                        Moby-Dick, every linear layer, r = 8
 *   npm start -- --targets q,v      query and value alone, as in the paper
 *   npm start -- --help
 */
import { readFile, stat } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import {
  adamW, attachLora, BaxError, compareMerged, device, fromHost, generate, key, loadGpt2, loadTokenizer, perplexity, planLora,
  randomWindows, saveAdapter, saveGpt2, train, warmupLinear, type Gpt2, type LoraModel, type TextBatch, type Tokenizer,
} from 'bax'; // prettier-ignore
import { openFolder } from 'bax/node';
import { lossChart } from './chart.ts';
import { mobyDick, splitText, stateOfTheUnion, tokenize, type Corpus } from './corpora.ts';
import { help, readOptions, type Options } from './options.ts';
import { clock, progressLine } from './progress.ts';
import { reportText, type BeforeAfter } from './report.ts';

const EVALUATED_WINDOWS = 32;
const SAMPLE_TOKENS = 60;
const SAVE_EVERY = 10;
const MAX_TEXT_BYTES = 256 << 20;
const progress = progressLine();

async function main(options: Options): Promise<void> {
  const stop = new AbortController();
  const { signal } = stop;
  process.on('SIGINT', () => (signal.aborted ? process.exit(130) : stop.abort()));

  const backend = await device(options.device);
  const folder = await openFolder(options.model);
  const model = await loadGpt2(folder, { signal });
  const tokenizer = await loadTokenizer(folder);
  if (tokenizer.vocabSize > model.config.vocab_size)
    throw new BaxError(
      `${options.model}: the tokenizer has ${tokenizer.vocabSize} tokens, the model ${model.config.vocab_size}`,
    );
  const context = Math.min(options.context, model.config.n_positions);
  console.log(
    `${model.parameterCount.toLocaleString('en-US')} parameters from ${shown(options.model)}, on ${backend.name} (${backend.info.adapter})`,
  );

  const corpus = await corpusOf(options);
  const [learn, held] = [tokenize(tokenizer, corpus.train), tokenize(tokenizer, corpus.validation)];
  const own =
    options.model === readOptions([])!.model ? tokenize(tokenizer, stateOfTheUnion().validation) : undefined;
  const plan = planLora(model, {
    targets: options.targets,
    r: options.r,
    alpha: options.alpha,
    dropout: options.dropout,
  });
  const lora = attachLora(model, plan, { key: key(options.seed) });
  const out = await openFolder(options.out, { create: true });
  const adapterFolder = await openFolder(join(options.out, 'adapter'), { create: true });
  const save = (): ReturnType<typeof saveAdapter> =>
    saveAdapter(lora, adapterFolder, { baseModel: resolve(options.model) });
  console.log(
    `${plan.entries.length} adapters, ${plan.parameters.toLocaleString('en-US')} trainable parameters; text: ${corpus.name}, ${learn.length.toLocaleString('en-US')} tokens`,
  );

  const measure = async (m: Gpt2, what: string): Promise<Measures> => {
    const measured = (tokens: Int32Array, on: string): Promise<number> =>
      perplexity(m, tokens, {
        context,
        batch: options.batch,
        limit: EVALUATED_WINDOWS,
        signal,
        onProgress: ({ done, total }) =>
          progress.show(`perplexity ${what}, on ${on}: ${Math.round((100 * done) / total)} %`),
      });
    return {
      target: await measured(held, corpus.name),
      own: own && (await measured(own, 'its own domain')),
      sample: await sample(m, tokenizer, options, signal),
    };
  };
  const before = await measure(model, 'before');
  const { losses, seconds, aborted } = await learnFrom(lora, learn, context, options, signal, save);
  const saved = await save();
  await out.write('loss.svg', [
    new TextEncoder().encode(lossChart(losses, `LoRA on ${corpus.name}: training loss`)),
  ]);
  if (aborted) {
    console.log(
      `Stopped after ${losses.length} of ${options.steps} steps. What was trained is in ${shown(join(options.out, 'adapter'))}.`,
    );
    return;
  }
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
    adapter: shown(join(options.out, 'adapter')),
    model: shown(options.model),
  });
  await out.write('report.md', [new TextEncoder().encode(text)]);
  console.log(`\n${text}`);
}

interface Measures {
  readonly target: number;
  readonly own: number | undefined;
  readonly sample: string;
}
const pair = <T>(before: T, after: T): BeforeAfter<T> => ({ before, after });
const shown = (path: string): string => relative('.', path) || '.';

async function corpusOf({ data }: Options): Promise<Corpus> {
  if (data === undefined) return mobyDick();
  const info = await stat(data).catch(() => undefined);
  if (!info?.isFile()) throw new BaxError(`--data ${data}: there is no such file`);
  if (info.size > MAX_TEXT_BYTES)
    throw new BaxError(
      `--data ${data}: ${info.size} bytes are more than the ${MAX_TEXT_BYTES} that are read`,
    );
  return splitText(data, await readFile(data, 'utf8'));
}

async function learnFrom(
  lora: LoraModel<Gpt2>,
  tokens: Int32Array,
  context: number,
  options: Options,
  signal: AbortSignal,
  save: () => Promise<unknown>,
): Promise<{ losses: number[]; seconds: number; aborted: boolean }> {
  const { steps, batch, lr, seed } = options;
  const started = performance.now();
  let savedAt = 0;
  try {
    const { losses, aborted } = await train<TextBatch>({
      loss: ({ ids, targets }, { key: stepKey }) => lora.model.loss(ids, targets, { key: stepKey }),
      batches: (step) => randomWindows(tokens, step, { context, batch, seed }),
      optimizer: adamW(lora.parameters(), { lr, weightDecay: 0 }),
      schedule: warmupLinear({ lr, steps, warmup: Math.min(5, steps - 1) }),
      clip: 1,
      steps,
      seed,
      signal,
      onStep: async ({ step, loss, tokensPerSecond, secondsLeft }) => {
        progress.show(
          `step ${step + 1}/${steps}  loss ${loss.toFixed(3)}  ${tokensPerSecond.toFixed(0)} tokens/s  ${clock(secondsLeft)} left  (Ctrl-C stops and keeps)`,
        );
        if ((step + 1) % SAVE_EVERY !== 0) return;
        await save();
        savedAt = step + 1;
      },
    });
    const seconds = (performance.now() - started) / 1000;
    progress.done(`trained ${losses.length} steps in ${clock(seconds)}, loss ${losses.at(-1)?.toFixed(3)}`);
    return { losses, seconds, aborted };
  } catch (error) {
    if (error instanceof BaxError)
      error.message +=
        savedAt > 0
          ? `\n  saved: the adapter of step ${savedAt}, in ${shown(join(options.out, 'adapter'))}`
          : '\n  saved: nothing, the first save is after step 10';
    throw error;
  }
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
  return prompt + tokenizer.decode(tokens);
}

try {
  const options = readOptions(process.argv.slice(2));
  if (options) await main(options);
  else console.log(help());
} catch (error) {
  progress.done();
  if ((error as Error).name === 'AbortError') console.log('Stopped before anything was trained.');
  else if (error instanceof BaxError) console.error(`bax: ${error.message}`);
  else throw error;
  process.exitCode = (error as Error).name === 'AbortError' ? 130 : 1;
}
