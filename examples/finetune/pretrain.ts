/**
 * Grows the base model that `npm start` adapts: a small GPT-2 with a byte-level BPE vocabulary of its own, on the
 * State of the Union addresses. It can be stopped at any time (Ctrl-C, a kill, a power cut) and started again: it goes
 * on from its last checkpoint to the same result. With the defaults it is the recipe of examples/finetune/base.
 *
 *   npm run pretrain -- --out .bax-out/base
 */
import {
  adamW, BaxError, createGpt2, device, gpt2Config, key, loadTokenizer, perplexity, randomWindows, saveGpt2, train,
  trainBpe, warmupCosine, writeTokenizer, type DeviceName, type TextBatch, type TrainResult, type Tokenizer, type WritableFolder,
} from 'bax'; // prettier-ignore
import { openFolder } from 'bax/node';
import { stateOfTheUnion, tokenize } from './corpora.ts';
import { flagLines, readFlags } from './flags.ts';
import { modelCard } from './model-card.ts';
import { clock, count, progressLine } from './progress.ts';

const size = { range: [1, 1e6], whole: true } as const;
const command = {
  name: 'npm run pretrain',
  flags: {
    out: { value: '.bax-out/base', help: 'directory of the model and its checkpoints' },
    device: { value: 'auto', help: 'where to compute: auto, webgpu, wasm or cpu' },
    steps: { value: '5000', help: 'optimiser steps', ...size },
    batch: { value: '8', help: 'windows of text in a step', ...size },
    lr: { value: '0.002', help: 'highest learning rate', range: [0, 10] },
    vocab: { value: '2048', help: 'tokens of the vocabulary', range: [257, 65536], whole: true },
    width: { value: '192', help: 'numbers that stand for a token (n_embd)', ...size },
    layers: { value: '4', help: 'blocks (n_layer)', ...size },
    heads: { value: '6', help: 'attention heads (n_head)', ...size },
    context: { value: '128', help: 'tokens in a window (n_positions)', ...size },
    seed: {
      value: '1',
      help: 'seed of initial weights and data order',
      range: [0, 2 ** 53 - 1],
      whole: true,
    },
  },
} as const;

process.once('uncaughtException', explainAndExit);
const args = readFlags(command, process.argv.slice(2)) ?? printHelp();
const { number } = args;
const [steps, batch, lr, vocab, seed] = [
  number('steps'),
  number('batch'),
  number('lr'),
  number('vocab'),
  number('seed'),
];
const shape = {
  n_embd: number('width'),
  n_layer: number('layers'),
  n_head: number('heads'),
  n_positions: number('context'),
};
const progress = progressLine();

const { info } = await device(args.text('device') as DeviceName, { software: true });
const out = await openFolder(args.text('out'), { create: true });
const corpus = stateOfTheUnion();
const tokenizer = await ownTokenizer(out);
const [tokens, held] = [tokenize(tokenizer, corpus.train), tokenize(tokenizer, corpus.validation)];
const { endOfText, vocabSize } = tokenizer;
console.log(
  `${count(tokens.length)} tokens to learn from, ${count(held.length)} held out, vocabulary ${count(vocabSize)}`,
);

const noDropout = { resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0 };
const config = gpt2Config({
  ...shape,
  ...noDropout,
  vocab_size: vocabSize,
  bos_token_id: endOfText,
  eos_token_id: endOfText,
});
const model = createGpt2(config, { key: key(seed) });
const parameters = model.namedParameters();
const isMatrix = (t: { readonly rank: number }): boolean => t.rank > 1; // biases and gains do not decay
const optimizer = adamW(parameters, { lr, betas: [0.9, 0.95], weightDecay: 0.1, decay: isMatrix });
const run = await learn();
if (run.steps === steps) await publish();
else console.log(`stopped after ${run.steps} of ${steps} steps; the same command goes on from there`);

/** A user's mistake is one line, here as everywhere; called by Node for whatever nobody caught. */
function explainAndExit(error: unknown): never {
  console.error(error instanceof BaxError ? `bax: ${error.message}` : error);
  process.exit(1);
}

function printHelp(): never {
  const what = 'Grows the base model that npm start adapts; stop it and start it again as you like.';
  console.log([what, '', ...flagLines(command)].join('\n'));
  process.exit(0);
}

/** The tokenizer of this folder; trained on the training addresses alone if there is none yet. */
async function ownTokenizer(folder: WritableFolder): Promise<Tokenizer> {
  if (!(await folder.has('tokenizer.json')))
    await writeTokenizer(
      folder,
      await trainBpe(corpus.train, { vocabSize: vocab, specialTokens: ['<|endoftext|>'] }),
    );
  return loadTokenizer(folder);
}

async function learn(): Promise<TrainResult> {
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  const result = await train<TextBatch>({
    loss: ({ ids, targets }) => model.loss(ids, targets),
    batches: (step) => randomWindows(tokens, step, { context: shape.n_positions, batch, seed }),
    optimizer,
    schedule: warmupCosine({ lr, warmup: Math.min(100, Math.ceil(steps / 10)), steps, final: lr / 20 }),
    clip: 1,
    steps,
    seed,
    signal: stop.signal,
    checkpoints: {
      folder: await openFolder(`${out.name}/checkpoints`, { create: true }),
      every: 50,
      settings: { batch, vocab, steps, ...shape },
      onResume({ steps: made, broken }) {
        for (const line of broken) console.warn(line);
        console.log(`going on from step ${made}`);
      },
    },
    onStep({ step, loss, tokensPerSecond, secondsLeft }) {
      progress.show(
        `step ${step + 1}/${steps}  loss ${loss.toFixed(3)}  ${tokensPerSecond.toFixed(0)} tokens/s  ${clock(secondsLeft)} left`,
      );
    },
  });
  progress.done();
  return result;
}

async function publish(): Promise<void> {
  const validationPerplexity = await perplexity(model, held);
  await saveGpt2(model, out, { dtype: 'F16' });
  const command = `npm run pretrain -- ${process.argv.slice(2).join(' ')}`.trim();
  const card = await modelCard({
    model,
    tokenizer,
    run,
    validationPerplexity,
    trainTokens: tokens.length,
    heldTokens: held.length,
    heldBytes: corpus.validation.reduce((n, text) => n + new TextEncoder().encode(text).length, 0),
    batch,
    lr,
    command,
    adapter: info.adapter,
  });
  await out.write('README.md', [new TextEncoder().encode(card)]);
  console.log(`validation perplexity ${validationPerplexity.toFixed(1)}; the model is in ${out.name}`);
}
