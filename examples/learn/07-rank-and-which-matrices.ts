/**
 * Lesson 7: rank, and which matrices
 *
 * A Transformer has many matrices. To which should B A be added, and how thin may it be? The paper
 * asks this of GPT-3 with its 175 billion numbers (section 7.1, Tables 5 and 6). We ask it of a
 * GPT-2 with two million, in seconds, and compare. Some of what the paper found shows here, some
 * cannot: the end says which is which.
 *
 *     npm run learn -- 7
 */
import { fileURLToPath } from 'node:url';
import {
  adamW, attachLora, device, key, loadGpt2, loadTokenizer, perplexity, planLora, randomWindows, train,
  type Gpt2,
} from 'bax'; // prettier-ignore
import { openFolder } from 'bax/node';
import { mobyDick, tokenize } from '../finetune/corpora.ts';

// 1. The base and the task
//
// The base of the main job (`npm start`), which has read the State of the Union addresses and
// nothing else. The task is Moby-Dick: some chapters to learn from, others to be judged by. The
// loss is the surprise at the next token, in nats.
console.log('1. The base and the task');

await device('wasm'); // on the plain cpu the same takes about ten times as long
const folder = await openFolder(fileURLToPath(new URL('../finetune/base', import.meta.url)));
const [base, tokenizer, novel] = [await loadGpt2(folder), await loadTokenizer(folder), mobyDick()];
const learn = tokenize(tokenizer, novel.train.slice(0, 12));
const judge = tokenize(tokenizer, novel.validation.slice(0, 6));

const windows = { context: 32, batch: 4 };
const lossOf = async (model: Gpt2): Promise<number> =>
  Math.log(await perplexity(model, judge, { ...windows, limit: 24 }));
const count = (n: number): string => n.toLocaleString('en-US');
const before = await lossOf(base);
console.log(`   ${count(base.parameterCount)} numbers, all frozen; loss ${before.toFixed(3)} nats a token`);

// Every choice will get the same short training: the same text, steps, learning rate and α, which
// stays when r changes, as in the paper. W_q, W_k and W_v are slices of one matrix of GPT-2,
// `c_attn`; W_o is its `attn.c_proj`.
const NAMES: Readonly<Record<string, string>> = { q: 'W_q', k: 'W_k', v: 'W_v', 'attn.c_proj': 'W_o' };
const [Q, K, V, O] = Object.keys(NAMES);
const training = { steps: 12, lr: 0.006, alpha: 8 };

interface Run {
  readonly targets: readonly string[];
  readonly r: number;
  /** Numbers trained. */
  readonly numbers: number;
  /** Nats a token, after training. */
  readonly loss: number;
}
async function run(targets: readonly string[], r: number, seed = 1): Promise<Run> {
  const plan = planLora(base, { targets, r, alpha: training.alpha });
  const lora = await attachLora(base, plan, { key: key(seed) });
  await train({
    batches: (step) => randomWindows(learn, step, { ...windows, seed }),
    loss: ({ ids, targets: next }) => lora.model.loss(ids, next),
    optimizer: adamW(lora.parameters(), { lr: training.lr, weightDecay: 0 }),
    steps: training.steps,
  });
  const loss = await lossOf(lora.model);
  lora.detach();
  return { targets, r, numbers: plan.parameters, loss };
}
const shown = ({ targets, r, numbers, loss }: Run): string => {
  const names = targets.map((name) => NAMES[name]).join(' ');
  return `${names.padEnd(15)}  r = ${r}  ${count(numbers).padStart(6)} numbers  loss ${loss.toFixed(3)}`;
};

// 2. Which matrices
//
// Table 5: one budget, spent on one kind of matrix with r = 8, on two kinds with 4, or on all four
// with 2; in every layer. A matrix costs r (in + out) numbers. Beside our loss (lower is better)
// stand the paper's accuracies on WikiSQL and on MNLI (higher is better; the paper gives ±0.5 % and
// ±0.1 % as their noise).
console.log("\n2. Which matrices? As in the paper's Table 5");

const TABLE_5 = [
  { targets: [Q], r: 8, wikiSql: 70.4, mnli: 91.0 },
  { targets: [K], r: 8, wikiSql: 70.0, mnli: 90.8 },
  { targets: [V], r: 8, wikiSql: 73.0, mnli: 91.0 },
  { targets: [O], r: 8, wikiSql: 73.2, mnli: 91.3 },
  { targets: [Q, K], r: 4, wikiSql: 71.4, mnli: 91.3 },
  { targets: [Q, V], r: 4, wikiSql: 73.7, mnli: 91.3 },
  { targets: [Q, K, V, O], r: 2, wikiSql: 73.7, mnli: 91.7 },
] as const;

const spent: Run[] = [];
for (const { targets, r, wikiSql, mnli } of TABLE_5) {
  const made = await run(targets, r);
  spent.push(made);
  console.log(`   ${shown(made)}   paper: ${wikiSql.toFixed(1)} %, ${mnli.toFixed(1)} %`);
}

const budget = 2 * 96 * 12288 * 8; // |Θ| = 2 L d r for GPT-3's 96 layers with d = 12,288
console.log(
  `   our budget: ${count(spent[0].numbers)} numbers; the paper's: ${count(budget)}, which it calls 18M`,
);

// 3. How much of that is chance?
//
// Another seed draws another A and other pages of the novel. Rows that differ by no more than seeds
// do, do not differ.
console.log('\n3. How much of that is chance?');

const losses = [spent[5].loss, (await run([Q, V], 4, 2)).loss, (await run([Q, V], 4, 3)).loss];
const noise = Math.max(...losses) - Math.min(...losses);
console.log(`   W_q W_v with r = 4, three seeds: loss ${losses.map((l) => l.toFixed(3)).join(', ')}`);
console.log(`   so chance alone makes ${noise.toFixed(3)} nats`);

const pairs = TABLE_5.flatMap((a, i) =>
  TABLE_5.slice(i + 1).map((b, j) => [a, b, spent[i].loss, spent[i + 1 + j].loss] as const),
);
const clear = pairs.filter(([a, b, x, y]) => Math.abs(x - y) > noise && a.wikiSql !== b.wikiSql);
const agree = clear.filter(([a, b, x, y]) => a.wikiSql > b.wikiSql === x < y); // higher is better there, lower here
console.log(`   pairs of rows above: ${pairs.length}, further apart than that: ${clear.length}`);
console.log(`   of these in the order of the paper's WikiSQL: ${agree.length}`);

// 4. Which rank
//
// Table 6: W_q and W_v, with more and more numbers. The paper finds that r = 1 is nearly as good as
// 64.
console.log("\n4. Which rank? As in the paper's Table 6");

const TABLE_6 = [
  { r: 1, wikiSql: 73.4, mnli: 91.3 },
  { r: 2, wikiSql: 73.3, mnli: 91.4 },
  { r: 4, wikiSql: 73.7, mnli: 91.3 },
  { r: 8, wikiSql: 73.8, mnli: 91.6 },
] as const;
const ranked: Run[] = [];
for (const { r, wikiSql, mnli } of TABLE_6) {
  const made = r === 4 ? spent[5] : await run([Q, V], r);
  ranked.push(made);
  console.log(`   ${shown(made)}   paper: ${wikiSql.toFixed(1)} %, ${mnli.toFixed(1)} %`);
}
const [least, most] = [ranked[0], ranked.at(-1)!];
const share = (100 * (before - least.loss)) / (before - most.loss);
console.log(`   r = ${least.r} gains ${share.toFixed(0)} % of what r = ${most.r} gains`);
console.log(
  `   the rest is ${(least.loss - most.loss).toFixed(3)} nats, and chance alone ${noise.toFixed(3)}`,
);

// What this shows, and what it does not
//
// - Which matrices: W_q or W_k alone is the poorest buy, W_v or W_o alone a far better one, and to
//   spread the budget thinner over more kinds costs nothing. So it is in the paper, and here by
//   more than chance.
// - Which rank: most of the gain comes with the first rank, as in the paper. What the others add is
//   lost in chance.
// - All this at one learning rate, at which every row learns. The first change below is a warning.
// - The paper judges tasks by accuracy, after two epochs; we judge the loss on a text, after
//   seconds. And of two models that agree one can hope for a third, no more.
//
// Try
//
// - lr: 0.015. W_q and W_k alone gain more, all four together take steps so large that they
//   unlearn, and the order is gone. Before you compare two choices, ask whether the rate suits
//   both.
// - steps: 60, for a minute or two. The losses fall much further, and the order stays.
