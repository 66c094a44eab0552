/** A short training run: the same program on any backend, in Node, in a page and in its worker. */
import { type Backend, fromHost, key, noGrad, type Tensor } from '@bax/core';
import {
  adamW, attachLora, castModule, type CheckpointOptions, createGpt2, generate, type Gpt2, gpt2Config, type LoraModel, opfsFolder, type Optimizer,
  planLora, randomWindows, train,
} from '@bax/nn'; // prettier-ignore
import { GpuError, type WebGpuBackend } from '@bax/webgpu';

/** A text in an alphabet of 13 letters, which repeats itself. */
const TEXT: Int32Array = Int32Array.from({ length: 300 }, (_, i) => (i * i * i + 2 * i) % 13);
const PROMPT = [...TEXT.subarray(0, 6)];
export const STEPS = 20;

interface Run {
  readonly lora: LoraModel<Gpt2>;
  readonly optimizer: Optimizer;
  readonly ids: Tensor;
}
async function start(backend: Backend): Promise<Run> {
  const model = createGpt2(
    gpt2Config({
      n_layer: 2, n_embd: 16, n_head: 2, vocab_size: 13, n_positions: 16, initializer_range: 0.2,
      eos_token_id: null, bos_token_id: null,
    }),
    { key: key(3), backend },
  ); // prettier-ignore
  const plan = planLora(model, { r: 4, alpha: 8, targets: ['c_attn', 'c_proj', 'c_fc'], dropout: 0.05 });
  const lora = await attachLora(model, plan, { key: key(5) });
  const optimizer = adamW(lora.parameters(), { lr: 0.03, weightDecay: 0 });
  return { lora, optimizer, ids: fromHost(Int32Array.from(PROMPT), [1, PROMPT.length], 'i32', { backend }) };
}
interface Way {
  readonly steps: number;
  readonly checkpoints?: CheckpointOptions;
  /** Called between a step's forward pass and its backward. */
  readonly amid?: (step: number) => void;
}
async function learn(
  backend: Backend,
  { lora, optimizer }: Run,
  { steps, checkpoints, amid }: Way,
): Promise<number[]> {
  const { losses } = await train({
    batches: (step) => randomWindows(TEXT, step, { context: 12, batch: 2, backend }),
    loss({ ids, targets }, context) {
      const loss = lora.model.loss(ids, targets, { key: context.key }); // with the key, dropout acts
      amid?.(context.step);
      return loss;
    },
    optimizer,
    clip: 1,
    steps,
    ...(checkpoints ? { checkpoints } : {}),
  });
  return losses;
}

/** Plain data: it is posted. */
export interface Training {
  readonly losses: readonly number[];
  /** A and B by name, as they were in the end. */
  readonly factors: Readonly<Record<string, readonly number[]>>;
  readonly unmerged: readonly number[];
  readonly merged: readonly number[];
  /** The largest error in parts of its bound, of the merge's report. */
  readonly ratio: number;
  /** What the merged model writes, greedily. */
  readonly written: readonly number[];
}

export async function training(backend: Backend): Promise<Training> {
  const run = await start(backend);
  const losses = await learn(backend, run, { steps: STEPS });
  const { model, report } = await run.lora.merge();
  const factors: Record<string, readonly number[]> = {};
  for (const [name, factor] of run.lora.parameters()) factors[name] = [...(await factor.data())];
  const written: number[] = [];
  for await (const id of generate(model, PROMPT, { maxNewTokens: 8, temperature: 0 })) written.push(id);
  return {
    losses,
    factors,
    unmerged: await logits(run.lora.model, run.ids),
    merged: await logits(model, run.ids),
    ratio: Math.max(...report.layers.map((layer) => layer.ratio)),
    written,
  };
}
const logits = async (model: Gpt2, ids: Tensor): Promise<number[]> => [
  ...(await noGrad(() => model.forward(ids)).data()),
];

/** The logits in f64 of a model that was trained elsewhere. */
export async function exactLogits(backend: Backend, factors: Training['factors']): Promise<number[]> {
  const { lora, ids } = await start(backend);
  for (const [name, { view }] of lora.parameters())
    backend.write(view.buffer, Float32Array.from(factors[name]), view.offset);
  return logits(castModule(lora.model, 'f64'), ids);
}

export interface Survival {
  /** The losses of a run of which nothing was lost. */
  readonly straight: readonly number[];
  /** Those of the run that lost its device, and the steps that it had made by then. */
  readonly resumed: readonly number[];
  readonly kept: number;
  /** What lies in the folder at the end. */
  readonly files: readonly string[];
  readonly fault: string;
  readonly message: string;
  /** What `backend.lost` resolved with. */
  readonly told: string;
}

/** In a page: loses the device in the middle of step 4 of 6, and goes on from a checkpoint on another. */
export async function survival(open: () => Promise<WebGpuBackend>): Promise<Survival> {
  const steps = 6;
  const straight = await open();
  const losses = await learn(straight, await start(straight), { steps });
  straight.close();

  const folder = await opfsFolder('checkpoints/survival', { create: true });
  let kept = 0;
  const checkpoints = { folder, every: 1, onResume: (from: { steps: number }) => void (kept = from.steps) };
  const fragile = await open();
  const amid = (step: number): void => void (step === 3 && fragile.device.destroy());
  const fault = await learn(fragile, await start(fragile), { steps, amid, checkpoints }).then(
    () => undefined,
    (error: unknown) => error,
  );
  const told = await fragile.lost;

  const fresh = await open();
  const resumed = await learn(fresh, await start(fresh), { steps, checkpoints });
  fresh.close();
  return {
    straight: losses,
    resumed,
    kept,
    files: await folder.list(),
    fault: fault instanceof GpuError ? fault.fault : 'none',
    message: String(fault),
    told: told.message,
  };
}
