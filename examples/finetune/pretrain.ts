/**
 * Grows the base model that `npm start` adapts: a small GPT-2 with a byte-level BPE vocabulary of its own, on the
 * State of the Union addresses. Can be stopped at any time (Ctrl-C, a kill, a power cut) and started again: it goes
 * on from its last checkpoint to the same result.
 *
 *   npx tsx --conditions source examples/finetune/pretrain.ts --out .bax-out/base
 */
import { parseArgs } from 'node:util';
import { device, key, type Tensor } from 'bax';
import {
  adamW,
  createGpt2,
  gpt2Config,
  loadTokenizer,
  perplexity,
  randomWindows,
  saveGpt2,
  train,
  trainBpe,
  warmupCosine,
  writeTokenizer,
  type Gpt2,
  type TextBatch,
  type Tokenizer,
  type WritableFolder,
} from '@bax/nn';
import { openFolder } from '@bax/nn/node';
import { loadCheckpoint, saveCheckpoint, type RunState } from './checkpoint.ts';
import { stateOfTheUnion, tokenize } from './corpora.ts';
import { modelCard } from './model-card.ts';

const { values: args } = parseArgs({
  options: {
    out: { type: 'string', default: '.bax-out/base' },
    device: { type: 'string', default: 'auto' },
    steps: { type: 'string', default: '1500' },
    batch: { type: 'string', default: '8' },
    lr: { type: 'string', default: '0.003' },
    vocab: { type: 'string', default: '1024' },
    width: { type: 'string', default: '128' },
    layers: { type: 'string', default: '4' },
    heads: { type: 'string', default: '4' },
    context: { type: 'string', default: '128' },
    seed: { type: 'string', default: '1' },
  },
});
const [steps, batch, lr, vocab, seed] = [args.steps, args.batch, args.lr, args.vocab, args.seed].map(
  Number,
) as [number, number, number, number, number];
const shape = {
  n_embd: Number(args.width),
  n_layer: Number(args.layers),
  n_head: Number(args.heads),
  n_positions: Number(args.context),
};
const settings = JSON.stringify({ steps, batch, lr, vocab, seed, ...shape });
const CHECKPOINT_EVERY = 50;

await device(args.device);
const out = await openFolder(args.out, { create: true });
const corpus = stateOfTheUnion();
const tokenizer = await ownTokenizer(out);
console.log('tokenising …');
const tokens = tokenize(tokenizer, corpus.train);
const held = tokenize(tokenizer, corpus.validation);
console.log(
  `${tokens.length} tokens to learn from, ${held.length} held out, vocabulary ${tokenizer.vocabSize}`,
);

const model = createGpt2(
  gpt2Config({
    ...shape,
    vocab_size: tokenizer.vocabSize,
    resid_pdrop: 0,
    embd_pdrop: 0,
    attn_pdrop: 0,
    bos_token_id: tokenizer.endOfText,
    eos_token_id: tokenizer.endOfText,
  }),
  { key: key(seed) },
);
const parameters = model.namedParameters();
const isMatrix = (t: Tensor): boolean => t.rank > 1; // biases and gains do not decay
const optimizer = adamW([
  { params: [...parameters.values()].filter(isMatrix), weightDecay: 0.1 },
  { params: [...parameters.values()].filter((t) => !isMatrix(t)), weightDecay: 0 },
], { lr, betas: [0.9, 0.95] }); // prettier-ignore
const before = await loadCheckpoint(out, parameters, optimizer, settings);
const run = await learn(model, before);
if (run.step === steps) await publish(model, tokenizer, run);

/** The tokenizer of this folder; trained on the training addresses alone if there is none yet. */
async function ownTokenizer(folder: WritableFolder): Promise<Tokenizer> {
  if (!(await folder.has('tokenizer.json')))
    await writeTokenizer(
      folder,
      await trainBpe(corpus.train, { vocabSize: vocab, specialTokens: ['<|endoftext|>'] }),
    );
  return loadTokenizer(folder);
}

async function learn(gpt2: Gpt2, resumed: RunState | undefined): Promise<RunState> {
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  const losses = [...(resumed?.losses ?? [])];
  const [startStep, startedAt] = [resumed?.step ?? 0, performance.now()];
  const state = (step: number): RunState => ({
    step,
    losses,
    seconds: (resumed?.seconds ?? 0) + (performance.now() - startedAt) / 1000,
    settings,
  });
  if (resumed) console.log(`going on from step ${startStep}`);
  await train<TextBatch>({
    params: optimizer.params,
    loss: ({ ids, targets }) => gpt2.loss(ids, targets),
    batches: (step) => randomWindows(tokens, step, { context: shape.n_positions, batch, seed }),
    optimizer,
    schedule: warmupCosine({ lr, warmup: Math.min(100, Math.ceil(steps / 10)), steps, final: lr / 20 }),
    clip: 1,
    steps,
    startStep,
    seed,
    signal: stop.signal,
    onStep: async (event) => {
      losses.push(event.loss);
      if ((event.step + 1) % 10 === 0)
        console.log(
          `step ${event.step + 1}/${steps}  loss ${event.loss.toFixed(3)}  ${event.tokensPerSecond.toFixed(0)} tokens/s  ${Math.round(event.secondsLeft / 60)} min left`,
        );
      if ((event.step + 1) % CHECKPOINT_EVERY === 0)
        await saveCheckpoint(out, parameters, optimizer, state(event.step + 1));
    },
  });
  const end = state(losses.length);
  await saveCheckpoint(out, parameters, optimizer, end);
  return end;
}

async function publish(gpt2: Gpt2, text: Tokenizer, end: RunState): Promise<void> {
  const quality = await perplexity(gpt2, held);
  await saveGpt2(gpt2, out, { dtype: 'F16' });
  await out.write('README.md', [
    new TextEncoder().encode(
      await modelCard({
        model: gpt2,
        tokenizer: text,
        run: end,
        validationPerplexity: quality,
        trainTokens: tokens.length,
        batch,
        lr,
      }),
    ),
  ]);
  console.log(`validation perplexity ${quality.toFixed(1)}; the model is in ${out.name}`);
}
