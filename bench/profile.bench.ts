/** Where a training step's time goes: each kernel, by the op that called it, and the host around them. */
import type { Backend } from '@bax/core';
import type { WasmBackend } from '@bax/wasm';
import { showSize, SMALL, TINY, type GptSize } from './gpt.ts';
import { openTrainer, ways, type Way } from './lora.bench.ts';
import { leastMs, say, type Suite } from './options.ts';
import { wasmEngines, type Engine } from './ours.ts';
import { fmaCeiling } from './probe.ts';
import { median, race, timed, type Contender } from './rounds.ts';
import { digits, showTimes, type Row } from './table.ts';

const STEPS_A_ROUND = 4;
/** Kernels below this share of the step are shown together. */
const LEAST_SHARE = 0.01;
/** Kernels whose work is multiply-adds. The others' are elements, about. */
const PRODUCTS = ['matmul', 'attention', 'attentionGrad', 'loraLinear'];

interface Spent {
  runs: number;
  ms: number;
  work: number;
}
/** One step: its milliseconds, and what was spent in each kernel. */
interface Profile {
  readonly ms: number;
  readonly kernels: ReadonlyMap<string, Spent>;
}

export const run: Suite = async ({ rounds, quick }) => {
  const size = quick ? TINY : SMALL;
  say(`profile: ${showSize(size)}`);
  const cases = ways.slice(0, 2).flatMap((way) =>
    wasmEngines.map((engine) => ({ way, engine, steps: [] as Profile[] })),
  ); // prettier-ignore
  const flops = 2e9;
  const contenders = cases.map(({ way, engine, steps }) =>
    contender(engine, way, size, steps, leastMs(quick)),
  );
  const results = await race([...contenders, fmaCeiling(flops)], rounds);
  const ceiling = flops / 2 / median(results.at(-1)!.ms) / 1e6; // G multiply-adds a second
  return cases.flatMap(({ way, engine, steps }) =>
    profileRows(`profile of a step, ${way.name}, ${engine.name}`, steps, ceiling, size),
  );
};

const contender = (
  engine: Engine<WasmBackend>,
  way: Way,
  size: GptSize,
  steps: Profile[],
  atLeast: number,
): Contender => ({
  name: `${way.name}, ${engine.name}`,
  async open() {
    const backend = await engine.open();
    let op = '';
    const labelled: Backend = { ...backend, label: (name) => void (op = name) };
    const trainer = await openTrainer(labelled, way, size);
    const seen = (pass: string): void => void (pass === 'backward' && (op = 'AdamW'));
    await timed(trainer.run, 5 * atLeast); // until the host's code is compiled, too
    const profile = (): Profile => {
      const kernels = new Map<string, Spent>();
      const start = performance.now();
      backend.profile(
        ({ kernel, work, ms }) => {
          const name = kernel === op ? kernel : `${kernel} (${op})`;
          const spent = kernels.get(name) ?? { runs: 0, ms: 0, work: 0 };
          kernels.set(name, { runs: spent.runs + 1, ms: spent.ms + ms, work: spent.work + work });
        },
        () => trainer.step(seen).dispose(),
      );
      return { ms: performance.now() - start, kernels };
    };
    return {
      async run() {
        for (let i = 0; i < STEPS_A_ROUND; i++) steps.push(profile());
        return steps.at(-1)!.ms;
      },
      close: () => backend.close(),
    };
  },
});

function profileRows(name: string, steps: readonly Profile[], ceiling: number, size: GptSize): Row[] {
  const whole = median(steps.map(({ ms }) => ms));
  const kernels = [...steps[0]!.kernels.keys()];
  const msOf = (some: readonly string[]): number[] =>
    steps.map((step) => some.reduce((sum, kernel) => sum + (step.kernels.get(kernel)?.ms ?? 0), 0));
  const row = (who: string, ms: readonly number[], note: string): Row => ({
    case: name,
    who,
    ...showTimes(ms, { unit: 'ms', of: (x) => x }),
    ratio: `${digits(median(ms) / whole)} of the step`,
    note,
  });
  const kernelRow = (kernel: string): Row => {
    const ms = msOf([kernel]);
    const { runs, work } = steps[0]!.kernels.get(kernel)!;
    const rate = work / median(ms) / 1e6;
    const isProduct = PRODUCTS.includes(kernel.split(' ')[0]!);
    const speed = isProduct
      ? `${digits(rate)} G multiply-adds/s, ${digits(rate / ceiling)} of the FMA ceiling`
      : `${digits(rate)} G/s`;
    return row(kernel, ms, `${runs} runs, ${speed}`);
  };
  const time = new Map(kernels.map((kernel) => [kernel, median(msOf([kernel]))]));
  const isLarge = (kernel: string): boolean => time.get(kernel)! >= LEAST_SHARE * whole;
  const small = kernels.filter((kernel) => !isLarge(kernel));
  const all = msOf(kernels);
  const tokens = size.batch * size.context;
  return [
    row('the step', steps.map(({ ms }) => ms), `${digits((1000 * tokens) / whole)} tok/s`),
    ...kernels.filter(isLarge).sort((a, b) => time.get(b)! - time.get(a)!).map(kernelRow),
    row(`${small.length} others`, msOf(small), `together; each less than ${LEAST_SHARE} of the step`),
    row('host', steps.map(({ ms }, i) => ms - all[i]!), 'the step without its kernels'),
  ]; // prettier-ignore
}
