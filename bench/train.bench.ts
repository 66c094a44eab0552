/** One training step: forward, backward and AdamW on all parameters of a small GPT, and the loss read back. */
import { countFlops } from './flops.ts';
import { ADAMW, batchOf, LAYER_NORM_EPS, openGpt, showSize, SMALL, TINY, trainer } from './gpt.ts';
import type { GptSize } from './gpt.ts';
import { say, type Suite } from './options.ts';
import { engines, ourNames, type Engine } from './ours.ts';
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
  const results = await race(
    [
      ...engines.map((engine, i) =>
        contender(engine.name, () => ourStepper(engine, size), i === 0 ? [] : losses, i === 0 ? losses : []),
      ),
      contender('tfjs cpu', () => tfjsStepper('cpu', task), losses, [], quick ? undefined : 1),
      contender('tfjs wasm', () => tfjsStepper('wasm', task), losses),
      contender('jax-js wasm, jit', () => jaxStepper(task), losses),
      contender('PyTorch CPU, 1 thread', () => torchStepper(task, 1), losses),
      contender('PyTorch CPU, all threads', () => torchStepper(task), losses),
      ...ceilings(flops),
    ],
    rounds,
  );
  return raceRows(name, results, ourNames, {
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
  const task = { size, batch: batchOf(size), adamW: ADAMW, layerNormEps: LAYER_NORM_EPS, weights };
  return { task, flops, parameters: model.parameterCount };
}

/** `rounds` = 1: too slow to be warmed up either. */
function contender(
  name: string,
  open: () => Promise<Stepper>,
  expected: readonly number[],
  losses: number[] = [],
  rounds?: number,
): Contender {
  return {
    name,
    ...(rounds === undefined ? {} : { rounds }),
    async open() {
      say(`  opening ${name}`);
      const stepper = await open();
      const run = async (): Promise<number> => {
        const start = performance.now();
        const { loss, ms } = await stepper.step();
        losses.push(loss);
        return ms ?? performance.now() - start;
      };
      if (rounds !== 1) await run();
      return { run, note: () => compare(losses, expected), close: () => stepper.close?.() };
    },
  };
}

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
  const { step, optimizer } = trainer(model, model.parameters(), size, backend);
  return {
    async step() {
      const loss = step();
      const value = await loss.item();
      loss.dispose();
      return { loss: value };
    },
    close() {
      for (const owner of [optimizer, model]) owner.dispose();
    },
  };
}
