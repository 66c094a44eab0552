/** A LoRA step against full fine-tuning of the same model: what of time, operations and memory is left. */
import { key, type Backend, type Tensor } from '@bax/core';
import { attachLora, planLora, type Gpt2, type LoraConfig } from '@bax/nn';
import { countFlops } from './flops.ts';
import { openGpt, showSize, SMALL, TINY, trainer, type GptSize, type Trainer } from './gpt.ts';
import { leastMs, say, type Suite } from './options.ts';
import { engines, kinds, type Engine } from './ours.ts';
import { median, race, ratios, timed, type Contender } from './rounds.ts';
import { digits, showRatio, showTimes, type Row } from './table.ts';

/** A way to fine-tune; without a configuration all parameters are trained. */
export interface Way {
  readonly name: string;
  readonly lora?: LoraConfig;
}
export const ways: readonly [full: Way, ...lora: Way[]] = [
  { name: 'full fine-tuning' },
  { name: 'LoRA q, v (r = 8)', lora: { r: 8, alpha: 16, targets: ['q', 'v'] } },
  { name: 'LoRA all linears (r = 8)', lora: { r: 8, alpha: 16, targets: 'all-linear' } },
];

export const run: Suite = async ({ rounds, quick }) => {
  const rows: Row[] = [];
  const size = quick ? TINY : SMALL;
  say(`lora: ${showSize(size)}`);
  for (const engine of engines) {
    const ledgers: Ledger[] = [];
    for (const way of ways) ledgers.push(await measure(engine, way, size));
    rows.push(...(await timeRows(engine, size, ledgers, rounds, leastMs(quick))));
    if (kinds.includes(engine)) rows.push(...memoryRows(engine, ledgers));
  }
  return rows;
};

async function timeRows(
  engine: Engine,
  size: GptSize,
  ledgers: readonly Ledger[],
  rounds: number,
  atLeast: number,
): Promise<Row[]> {
  const results = await race(ways.map((way) => contender(engine, way, size, atLeast)), rounds); // prettier-ignore
  const [full] = results;
  return results.map((result, i): Row => {
    const times = ratios(result, full!);
    const share = ledgers[i]!.flops / ledgers[0]!.flops;
    const work = `${digits(ledgers[i]!.flops / 1e9)} GFLOP`;
    return {
      case: `LoRA step, ${engine.name}`,
      who: result.name,
      ...showTimes(result.ms, { unit: 'ms', of: (ms) => ms }),
      ratio: i === 0 || times.length === 0 ? '' : `${showRatio(times, '')} of full's time`,
      note:
        i === 0 || times.length === 0
          ? `${work} ${result.note}`.trim()
          : `${work}, ${digits(share)} of full's; time ÷ operations ${digits(median(times) / share)}`,
    };
  });
}

const contender = (engine: Engine, way: Way, size: GptSize, atLeast: number): Contender => ({
  name: way.name,
  async open() {
    const backend = await engine.open();
    const { run } = await openTrainer(backend, way, size);
    await timed(run, atLeast);
    return { run: () => timed(run, atLeast), close: () => backend.close?.() };
  },
});

/** A trainer on a model of its own, alone on its backend. */
export async function openTrainer(backend: Backend, { lora }: Way, size: GptSize): Promise<Trainer> {
  const base = openGpt(size, backend);
  const [model, params]: [Gpt2, Tensor[]] = lora ? await adapted(base, lora) : [base, base.parameters()];
  return trainer(model, params, size, backend);
}

async function adapted(base: Gpt2, config: LoraConfig): Promise<[Gpt2, Tensor[]]> {
  const lora = await attachLora(base, planLora(base, config), { key: key(1) });
  return [lora.model, [...lora.parameters().values()]];
}

/** What one step does and holds, in operations and bytes. */
interface Ledger {
  readonly way: Way;
  readonly flops: number;
  /** Gradients and optimiser state. */
  readonly trained: number;
  /** What the forward pass leaves for the backward pass: the activations. */
  readonly held: number;
  /** The most that was alive beside weights and state: activations, gradients and what the backward pass makes. */
  readonly peak: number;
}

async function measure(engine: Engine, way: Way, size: GptSize): Promise<Ledger> {
  const backend = await engine.open();
  const { step, optimizer } = await openTrainer(backend, way, size);
  const before = backend.memory().live; // weights, adapter and state
  let after = before;
  const { result: loss, flops } = countFlops(() =>
    step((pass) => void (pass === 'forward' && (after = backend.memory().live))),
  );
  loss.dispose();
  const bytes = (all: Iterable<Tensor>): number => [...all].reduce((sum, t) => sum + t.bytes, 0);
  const trained = bytes(optimizer.params) + bytes(optimizer.stateTensors().values()); // a gradient is of its parameter's size
  const { peak } = backend.memory();
  backend.close?.();
  return { way, flops, trained, held: after - before, peak: peak - before };
}

const memoryRows = (engine: Engine, ledgers: readonly Ledger[]): Row[] =>
  (
    [
      ['gradients + AdamW state', 'trained'],
      ['activations after forward', 'held'],
      ['step peak over weights, state', 'peak'],
    ] as const
  ).flatMap(([name, kind]) =>
    ledgers.map((ledger): Row => ({
      case: `${name}, ${engine.name}`,
      who: ledger.way.name,
      value: `${digits(ledger[kind] / 1e6)} MB`,
      ratio: ledger === ledgers[0] ? '' : `${digits(ledger[kind] / ledgers[0]![kind])} of full's bytes`,
    })),
  );
