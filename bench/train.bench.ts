/** One training step: forward, backward and AdamW on all parameters of a small GPT, and the loss read back. */
import { countFlops } from './flops.ts';
import { ADAMW, batchOf, LAYER_NORM_EPS, openGpt, showSize, SMALL, TINY, trainer } from './gpt.ts';
import type { GptSize } from './gpt.ts';
import { leastMs, say, type Suite } from './options.ts';
import { comparedWith, engines, gpuEngines, type Engine } from './ours.ts';
import { jaxStepper } from './peers/jax-gpt.ts';
import { tfjsStepper } from './peers/tfjs-gpt.ts';
import { torchStepper } from './peers/torch.ts';
import { ceilings } from './probe.ts';
import { race, type Contender } from './rounds.ts';
import { digits, raceRows } from './table.ts';
import type { Factor, Stepper, Task } from './tasks.ts';

export const run: Suite = async ({ rounds, quick }) => {
  const size = quick ? TINY : SMALL;
  const { task, flops, parameters } = await newTask(size);
  const name = `training step, ${parameters} parameters, ${digits(flops / 1e9)} GFLOP`;
  say(`${name}: ${showSize(size)}`);
  const losses: number[] = []; // of our first engine: what the others are compared with
  const { length: tokens } = task.batch.ids;
  const ours = engines.map((engine, i): Entry => {
    const entry = { name: engine.name, open: () => ourStepper(engine, size) };
    return i === 0 ? { ...entry, expected: [], losses } : { ...entry, expected: losses };
  });
  const peers: Entry[] = [
    {
      name: 'tfjs cpu',
      open: () => tfjsStepper('cpu', task),
      expected: losses,
      ...(quick ? {} : { rounds: 1 }),
    },
    { name: 'tfjs wasm', open: () => tfjsStepper('wasm', task), expected: losses },
    ...(gpuEngines.length > 0
      ? [{ name: 'tfjs webgpu', open: () => tfjsStepper('webgpu', task), expected: losses }]
      : []),
    { name: 'jax-js wasm, jit', open: () => jaxStepper(task), expected: losses },
    { name: 'PyTorch CPU, 1 thread', open: () => torchStepper(task, 1), expected: losses },
    { name: 'PyTorch CPU, all threads', open: () => torchStepper(task), expected: losses },
  ];
  const all = [...ours, ...peers].map((entry) => contender(entry, leastMs(quick)));
  const results = await race([...all, ...ceilings(flops)], rounds);
  return raceRows(name, results, comparedWith, {
    unit: 'ms',
    of: (ms) => ms,
    also: (ms) => `${digits((1000 * tokens) / ms)} tok/s`,
  });
};

/** Counts on our first engine, from the weights that everyone starts from. */
async function newTask(size: GptSize): Promise<{ task: Task; flops: number; parameters: number }> {
  const backend = await engines[0]!.open();
  const model = openGpt(size, backend);
  const weights = new Map<string, Factor>();
  for (const [path, t] of model.namedParameters())
    weights.set(path, { shape: t.shape, data: (await t.data()) as Float32Array });
  const { step, optimizer } = trainer(model, model.parameters(), size, backend);
  const { result: loss, flops } = countFlops(() => step());
  for (const owner of [loss, optimizer, model]) owner.dispose();
  backend.close?.();
  const task = { size, batch: batchOf(size), adamW: ADAMW, layerNormEps: LAYER_NORM_EPS, weights };
  return { task, flops, parameters: model.parameterCount };
}

interface Entry {
  readonly name: string;
  readonly open: () => Promise<Stepper>;
  /** 1: too slow to be warmed up either. */
  readonly rounds?: number;
  /** The losses to be found, and where to put those that were. */
  readonly expected: readonly number[];
  readonly losses?: number[];
}

const contender = ({ name, open, rounds, expected, losses = [] }: Entry, atLeast: number): Contender => ({
  name,
  ...(rounds === undefined ? {} : { rounds }),
  async open() {
    say(`  opening ${name}`);
    const stepper = await open();
    const run = async (): Promise<number> => {
      let [steps, sum] = [0, 0];
      do {
        const start = performance.now();
        const { loss, ms } = await stepper.step();
        sum += ms ?? performance.now() - start;
        steps++;
        losses.push(loss);
      } while (sum < atLeast);
      return sum / steps;
    };
    if (rounds !== 1) await run();
    return { run, note: () => compare(losses, expected), close: () => stepper.close?.() };
  },
});

/** Everyone trains the same model on the same batch, so the losses must be the same. */
function compare(losses: readonly number[], expected: readonly number[]): string {
  const last = Math.min(losses.length, expected.length) - 1;
  if (last < 0) return losses.length > 0 ? `loss ${digits(losses[0]!)} → ${digits(losses.at(-1)!)}` : '';
  const [loss, wanted] = [losses[last]!, expected[last]!];
  if (Math.abs(loss - wanted) <= 1e-3 * wanted) return `same loss at step ${last + 1}`;
  return `OTHER LOSS at step ${last + 1}: ${loss.toFixed(4)}, ours ${wanted.toFixed(4)}`;
}

async function ourStepper(engine: Engine, size: GptSize): Promise<Stepper> {
  const backend = await engine.open();
  const model = openGpt(size, backend);
  const { run } = trainer(model, model.parameters(), size, backend);
  return { step: async () => ({ loss: await run() }), close: () => backend.close?.() };
}
