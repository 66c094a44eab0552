/**
 * Measures bax beside its peers, who take turns within one run, and prints one table: npm run bench -- --help.
 */
import { parseArgs } from 'node:util';
import { run as adapters } from './adapters.bench.ts';
import { run as cost } from './cost.bench.ts';
import { run as generate } from './generate.bench.ts';
import { run as lora } from './lora.bench.ts';
import { describeMachine, describePeers } from './machine.ts';
import { run as matmul } from './matmul.bench.ts';
import { run as memory } from './memory.bench.ts';
import { say, type Suite } from './options.ts';
import { run as profile } from './profile.bench.ts';
import { writeResults } from './results.ts';
import { showTable, type Row } from './table.ts';
import { run as train } from './train.bench.ts';
import { run as webgpu } from './webgpu.bench.ts';

const suites: Readonly<Record<string, Suite>> = {
  matmul,
  train,
  profile,
  lora,
  adapters,
  cost,
  generate,
  memory,
  webgpu,
};
const names = Object.keys(suites);

const HELP = `
npm run bench [-- --only matmul --only train] [--rounds 5] [--quick]

  --only <suite>   one suite, or several if repeated; default: all
                     matmul     products by themselves, beside the peers and the machine's ceiling
                     train      a training step of a small GPT, beside the peers
                     profile    where that step's time goes, and a LoRA step's
                     lora       a LoRA step against full fine-tuning: time, operations, memory
                     adapters   several on one base: switching tasks, rows of a batch with one each
                     cost       a step against the model's width, context and batch
                     generate   tokens a second, with and without the cache
                     memory     live bytes over many steps
                     webgpu     what a step asks of the device, and what that costs the host
  --rounds <n>     each contender has so many turns; default 5, with --quick 2
  --quick          small sizes: shows that everything runs, measures nothing worth keeping

A full run is also written to bench/results/<date>-wasm.md, or -webgpu.md where there is an adapter. The JavaScript peers come with npm run bench:peers;
BAX_BENCH_PYTHON names a Python that has torch.
`.trim();

const { values: args } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: names },
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (args.help) {
  console.log(HELP);
  process.exit();
}
const rounds = Number(args.rounds ?? (args.quick ? 2 : 5));
if (!Number.isSafeInteger(rounds) || rounds < 1) throw new Error(`bench: --rounds is ${args.rounds}`);
for (const name of args.only)
  if (!names.includes(name)) throw new Error(`bench: there is no '${name}'; choose of ${names.join(', ')}`);

const LEGEND = `
A ratio "bax wasm 3×" says that bax wasm took a third of the row's time. Ratios are medians of the ratios of each round,
with the lowest and the highest; in a round each contender has its turn, so that what slows one slows all. GF/s is
2·m·k·n operations a second; a ceiling is a loop of multiply-adds in registers, one thread, in the row's operations: a
ratio to it is the share of it that was reached, by several threads perhaps more than all.
Products: the factors are where the product is made, and the result stays there. B is new for each product, outside of
the time, so that nobody has it packed from before; with "B kept" it never changes, as a frozen weight, and tfjs,
onnxruntime-web and bax wasm keep it packed. jax-js packs nothing.
Operations of training are those of the products that ran, forward and backward; attention counts whole, though a fused
one skips what the causal mask hides. LoRA's model and the trained one are the same. In a profile "map (gelu)" is the
kernel map as the op gelu called it; G/s are elements, and multiply-adds of products (of attention those that the mask
leaves), beside one thread's ceiling.
`.trim();

const machine = [...describeMachine(), await describePeers(), `Rounds: ${rounds}`];
const rows: Row[] = [];
for (const name of names)
  if (args.only.includes(name)) rows.push(...(await suites[name]!({ rounds, quick: args.quick })));
const table = `${showTable(rows)}\n\n${LEGEND}`;
console.log(`${machine.join('\n')}\n\n${table}`);

if (args.quick || args.only.length < names.length)
  say('Not a full run: nothing is written to bench/results.');
else say(`written to ${await writeResults(machine, table)}`);
process.exit(); // Dawn, once it is offered to the peers, would keep the process alive
