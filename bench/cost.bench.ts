/** What a training step costs as the model grows: width, context and batch, one at a time around the small GPT. */
import { countFlops } from './flops.ts';
import { openGpt, showSize, SMALL, TINY, trainer, type GptSize } from './gpt.ts';
import { leastMs, type Options, say, type Suite } from './options.ts';
import { allThreads, type Engine, gpuEngines } from './ours.ts';
import { median, race, ratios, timed, type Contender } from './rounds.ts';
import { digits, showRatio, showTimes, type Row } from './table.ts';

type Axis = 'width' | 'context' | 'batch';
const symbols: Readonly<Record<Axis, string>> = { width: 'd', context: 'T', batch: 'batch' };
const full: Readonly<Record<Axis, readonly number[]>> = {
  width: [64, 128, 256],
  context: [64, 128, 256, 512],
  batch: [1, 4, 8, 16],
};
const quickly: typeof full = { width: [16, 32, 64], context: [16, 32, 64], batch: [1, 2, 4] };

export const run: Suite = async (options) => {
  const rows: Row[] = [];
  for (const engine of [allThreads, ...gpuEngines]) rows.push(...(await costOn(engine, options)));
  return rows;
};

async function costOn(engine: Engine, { rounds, quick }: Options): Promise<Row[]> {
  const [middle, sweeps] = quick ? [TINY, quickly] : [SMALL, full];
  say(`cost: ${engine.name}, around ${showSize(middle)}`);
  const sizes = new Map<string, GptSize>();
  for (const axis of Object.keys(symbols) as Axis[])
    for (const value of sweeps[axis]) {
      const size = { ...middle, [axis]: value };
      sizes.set(showSize(size), size); // the one in the middle of all sweeps is measured once
    }
  const flops = new Map<string, number>();
  const contenders = [...sizes].map(([name, size]) =>
    contender(engine, name, size, leastMs(quick), (count) => flops.set(name, count)),
  );
  const results = new Map((await race(contenders, rounds)).map((result) => [result.name, result]));

  return (Object.keys(symbols) as Axis[]).flatMap((axis) =>
    sweeps[axis].map((value): Row => {
      const size = { ...middle, [axis]: value };
      const result = results.get(showSize(size))!;
      const operations = flops.get(result.name) ?? 0;
      const tokens = size.batch * size.context;
      const times = ratios(result, results.get(showSize(middle))!);
      return {
        case: `step against ${symbols[axis]}, ${engine.name}`,
        who: `${symbols[axis]} = ${value}`,
        ...showTimes(result.ms, {
          unit: 'ms',
          of: (ms) => ms,
          also: (ms) => `${digits((1000 * tokens) / ms)} tok/s`,
        }),
        ratio:
          value === middle[axis]
            ? ''
            : `${showRatio(times, '')} of ${symbols[axis]} = ${middle[axis]}'s time`,
        note:
          result.ms.length === 0
            ? result.note
            : `${digits(operations / 1e9)} GFLOP, ${digits(operations / median(result.ms) / 1e6)} GF/s`,
      };
    }),
  );
}

const contender = (
  engine: Engine,
  name: string,
  size: GptSize,
  atLeast: number,
  counted: (flops: number) => void,
): Contender => ({
  name,
  async open() {
    const backend = await engine.open();
    const model = openGpt(size, backend);
    const { step, run } = trainer(model, model.parameters(), size, backend);
    const { result: loss, flops } = countFlops(() => step());
    loss.dispose();
    counted(flops);
    await timed(run, atLeast);
    return { run: () => timed(run, atLeast), close: () => backend.close?.() };
  },
});
