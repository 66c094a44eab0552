/** Where the memory of a step of training goes: weights, gradients, the optimiser's state, activations. */
import {
  bytesOf, keep, observe, tapeOf, type Backend, type BufferRef, type HalfFloat, type Observer, type Tensor,
} from '@bax/core'; // prettier-ignore
import { type Adapter, adapterFrom } from '../lora/adapter.ts';
import { withAdapter } from '../lora/attach.ts';
import { type LoraConfig, takesFrom } from '../lora/config.ts';
import { type LoraPlan, planLora } from '../lora/plan.ts';
import type { Gpt2Config } from '../models/gpt2-config.ts';
import type { Module } from '../module.ts';
import { adamW } from '../optim/adamw.ts';
import type { Optimizer } from '../optim/optimizer.ts';
import type { TrainBatch, TrainOptions } from '../train/options.ts';
import { eagerSteps } from '../train/step.ts';
import { hollowBackend, hollowGpt2, hollowTensor } from './hollow.ts';
import { showBytes, table } from './table.ts';

/** Results of one op in one kind of module that the tape keeps for the backward pass. */
export interface KeptActivations {
  readonly op: string;
  /** The module's path, blocks taken together: `transformer.h.*.mlp`. */
  readonly path: string;
  readonly tensors: number;
  readonly bytes: number;
}

/** In bytes. */
export interface MemoryLedger {
  /** Weights that are not trained, as they are held. */
  readonly frozen: number;
  /** What is trained: all weights, or A and B. */
  readonly trained: number;
  readonly gradients: number;
  /** The optimiser's state. */
  readonly optimizer: number;
  /** What a micro-batch's forward pass leaves on the device. */
  readonly activations: number;
  /** What of these the tape keeps, largest first; the rest is freed with it, at the step's end. */
  readonly kept: readonly KeptActivations[];
  /** The most that is there at once in a step of `train`, the batch included. What a kernel borrows while it runs is not seen. */
  readonly peak: number;
  /** A table for people. */
  toString(): string;
}

/**
 * Measures a step of `train` on the device where the model is, by `memory()` of its backend: runs the forward and backward
 * passes of the step that `options` would make first, and applies nothing, so that nothing changes. Weights and state are
 * counted as they are held; for the rest a backend that gives memory in size classes (wasm, webgpu) reports up to a quarter
 * more than `planMemory({ …, like: backend })`, and for a small tensor 256 bytes; the cpu reports the same. Of a plan without
 * `like` that does not hold: it is of a backend with every fused kernel, and the cpu, which has none, keeps and makes more.
 */
export function measureMemory<B extends TrainBatch>(model: Module, options: TrainOptions<B>): MemoryLedger {
  const { optimizer } = options;
  const { backend } = optimizer.params[0]!;
  const trained = new Set(optimizer.params);
  const held = {
    frozen: bytesIn(model.parameters().filter((p) => !trained.has(p))),
    trained: bytesIn(trained),
    optimizer: bytesIn(optimizer.stateTensors().values()),
  };
  const { live } = backend.memory();
  let step = measureStep(backend, options);
  // The first step on a device may make constants, which stay; the next one is like all others.
  if (backend.memory().live !== live) step = measureStep(backend, options);
  const { most, ...rest } = step;
  const ledger = { ...held, ...rest, peak: held.frozen + held.trained + held.optimizer + most };
  return { ...ledger, toString: () => show(ledger) };
}

type Made = ReadonlyMap<BufferRef, { readonly op: string; readonly path: string }>;

/** `most` is what was there at once, beyond what was there before. */
function measureStep<B extends TrainBatch>(
  backend: Backend,
  options: TrainOptions<B>,
): Pick<MemoryLedger, 'gradients' | 'activations' | 'kept'> & { most: number } {
  const live = (): number => backend.memory().live;
  const start = live();
  let most = 0;
  let [activations, kept]: [number, readonly KeptActivations[]] = [0, []];
  let made = new Map<BufferRef, { readonly op: string; readonly path: string }>();
  const see: Observer = (op, _, outputs, path) => {
    most = Math.max(most, live() - start);
    for (const y of outputs) made.set(y.view.buffer, { op, path });
  };
  const loss: typeof options.loss = (batch, context) => {
    const before = live();
    made = new Map();
    const y = options.loss(batch, context);
    const more = live() - before;
    if (more > activations) [activations, kept] = [more, keptOf(y, made)];
    return y;
  };
  const step = observe(see, () => eagerSteps({ ...options, loss }).take(options.startStep ?? 0));
  step.lossAndNorm.dispose();
  const after = live();
  step.free();
  return { gradients: after - live(), activations, kept, most };
}

const bytesIn = (tensors: Iterable<Tensor>): number => [...tensors].reduce((sum, t) => sum + t.bytes, 0);

/** Of what was made, what the tape of the loss holds. */
function keptOf(loss: Tensor, made: Made): KeptActivations[] {
  const buffers = new Set(tapeOf(loss).flatMap((r) => [...r.inputs, ...r.outputs]).map((t) => t.view.buffer)); // prettier-ignore
  const groups = new Map<string, { op: string; path: string; tensors: number; bytes: number }>();
  for (const buffer of buffers) {
    const maker = made.get(buffer);
    if (!maker) continue; // a parameter, the batch, a constant of core
    const path = maker.path.replace(/\.\d+(?=\.|$)/g, '.*');
    const name = `${maker.op} ${path}`;
    const group = groups.get(name) ?? { op: maker.op, path, tensors: 0, bytes: 0 };
    groups.set(name, group);
    group.tensors++;
    group.bytes += buffer.length * bytesOf(buffer.type);
  }
  return [...groups.values()].sort((a, b) => b.bytes - a.bytes);
}

export interface MemoryPlan {
  readonly model: Gpt2Config;
  /** Without it all weights are trained. */
  readonly lora?: LoraConfig;
  /** Sequences of a micro-batch. */
  readonly batch: number;
  /** Tokens of a sequence. */
  readonly context: number;
  /** Default `adamW`. */
  readonly optimizer?: (params: ReadonlyMap<string, Tensor>) => Optimizer;
  /** How the base's matrices are held. Default f32. */
  readonly storage?: 'f32' | HalfFloat;
  /** As `train` has them. */
  readonly accumulate?: number;
  readonly clip?: number;
  /**
   * The backend to plan for: what it has no kernel for is composed, which keeps or makes more. Default: one that has them all;
   * the peak on the cpu, which has none, may then be a quarter and more above the plan's.
   */
  readonly like?: Pick<Backend, 'fused'>;
}

/**
 * The ledger before there is any memory: the model runs a step of `train` on a backend that only counts, with the fused
 * kernels of `like`. Dropout acts where the configuration has it.
 * @throws as the model, `planLora` and the optimiser do: a context that is too long, targets that match nothing, a base that
 * is held narrow and to be trained.
 */
export function planMemory(plan: MemoryPlan): MemoryLedger {
  const {
    model: config,
    lora,
    batch,
    context,
    optimizer = adamW,
    storage = 'f32',
    accumulate = 1,
    clip,
    like,
  } = plan;
  const backend = hollowBackend(like);
  const base = hollowGpt2(config, { backend, storage });
  const adapter = lora && withAdapter(base, hollowAdapter(planLora(base, lora), backend));
  const model = adapter?.model ?? base;
  const tokens = (): Tensor => hollowTensor([batch, context], 'i32', backend);
  return measureMemory(model, {
    batches: () => ({ ids: tokens(), targets: tokens(), validTokens: batch * context }),
    loss: ({ ids, targets }, { key }) => model.loss(ids, targets, { key }),
    optimizer: optimizer(adapter ? adapter.parameters() : base.namedParameters()),
    steps: 1,
    accumulate,
    ...(clip !== undefined && { clip }),
  });
}

/** An adapter of the plan, what PiSSA and OLoRA take out of W among its tensors. */
function hollowAdapter(plan: LoraPlan, backend: Backend): Adapter {
  const tensor = (...shape: number[]): Tensor => keep(hollowTensor(shape, 'f32', backend));
  return adapterFrom(plan, {
    factors({ r, in: k, out, layer }) {
      const pair = () => ({ A: tensor(r, k), B: tensor(out, r) });
      return takesFrom(plan.config.init, layer) ? { ...pair(), taken: pair() } : pair();
    },
  });
}

function show(ledger: Omit<MemoryLedger, 'toString'>): string {
  const { frozen, trained, gradients, optimizer, activations, kept, peak } = ledger;
  const lines: [string, number][] = [
    ['weights, frozen', frozen],
    ['weights, trained', trained],
    ['gradients', gradients],
    ["the optimiser's state", optimizer],
    ['activations', activations],
    ...kept.map(({ op, path, tensors, bytes }): [string, number] => [
      `  ${tensors} x ${op}${path && ` ${path}`}`,
      bytes,
    ]),
    ['at most at once', peak],
  ];
  return table(
    lines.map(([what, bytes]) => [what, showBytes(bytes)]),
    [1],
  );
}
