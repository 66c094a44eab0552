/**
 * npm run bench [-- --only matmul --only train] [--rounds 5] [--quick]
 *
 * Measures bax beside its peers, who take turns within one run, and prints one table. A full run is also written to
 * bench/results/. BAX_BENCH_PYTHON names a Python that has torch; the JavaScript peers come with npm run bench:peers.
 */
import { parseArgs } from 'node:util';
import { run as generate } from './generate.bench.ts';
import { run as lora } from './lora.bench.ts';
import { describeMachine } from './machine.ts';
import { run as matmul } from './matmul.bench.ts';
import { run as memory } from './memory.bench.ts';
import { say, type Suite } from './options.ts';
import { writeResults } from './results.ts';
import { showTable, type Row } from './table.ts';
import { run as train } from './train.bench.ts';

const suites: Readonly<Record<string, Suite>> = { matmul, train, lora, generate, memory };
const names = Object.keys(suites);

const { values: args } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: names },
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});
const rounds = Number(args.rounds ?? (args.quick ? 2 : 5));
if (!Number.isSafeInteger(rounds) || rounds < 1) throw new Error(`bench: --rounds is ${args.rounds}`);
for (const name of args.only)
  if (!names.includes(name)) throw new Error(`bench: there is no '${name}'; choose of ${names.join(', ')}`);

const LEGEND = `
A ratio "bax cpu 3×" says that bax cpu took a third of the row's time. Ratios are medians of the ratios of each round,
with the lowest and the highest; in a round each contender has its turn, so that what slows one slows all. GF/s is
2·m·k·n operations a second; a ceiling is a loop of multiply-adds in registers, one thread, in the row's operations.
LoRA's operations are those of the products that ran, forward and backward. Its model and the trained one are the same.
`.trim();

const machine = [...describeMachine(), `Rounds: ${rounds}`];
const rows: Row[] = [];
for (const name of names)
  if (args.only.includes(name)) rows.push(...(await suites[name]!({ rounds, quick: args.quick })));
const table = `${showTable(rows)}\n\n${LEGEND}`;
console.log(`${machine.join('\n')}\n\n${table}`);

if (args.quick || args.only.length < names.length)
  say('Not a full run: nothing is written to bench/results.');
else say(`written to ${await writeResults(machine, table)}`);
