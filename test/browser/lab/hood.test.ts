/** The view of one step: its tape, what is asked for, its kernels, times and memory are those that the cpu and arithmetic find. */
import { readFileSync } from 'node:fs';
import {
  adamW, attachLora, castModule, getBackend, grad, key, observe, planLora, randomWindows, tapeOf, type Gpt2, type LoraModel, type TapeRecord, type Tensor,
} from 'bax'; // prettier-ignore
import katex from 'katex';
import { expect, it } from 'vitest';
import { gradientOf, OP_FORMULAS } from '../../../examples/lab/src/op-formulas.ts';
import { TARGETS } from '../../../examples/lab/src/settings.ts';
import { hood } from '../../../examples/lab/worker/hood.ts';
import { opening } from '../../../examples/lab/worker/model.ts';
import { texts } from '../../../examples/lab/texts.ts';
import { inNode } from './in-node.ts';
import { tableOf, useLab } from './support.ts';

const lab = useLab();
const SIZES = { batch: 2, context: 16 };
const ADAPTER = { r: 3, alpha: 6 };
const [TIME, MEMORY, KEPT] = [
  'Time, call by call',
  'Where the memory of this step is',
  'What the tape keeps for the way back',
];
const shown = (shape: readonly number[]): string => `[${shape.join(', ')}]`;

async function adapted(base: Gpt2, targets: readonly string[]): Promise<LoraModel<Gpt2>> {
  return attachLora(base, planLora(base, { targets, ...ADAPTER }), { key: key(1) });
}

/** The same step in Node. */
async function inNodeStep(targets: readonly string[]) {
  const { base, tokenizer } = await inNode();
  const tokens = tokenizer.encode(texts().get('moby-dick')!);
  const { ids, targets: next } = randomWindows(tokens.subarray(0, Math.floor(tokens.length * 0.9)), 0, { ...SIZES, seed: 1 });
  const lora = await adapted(base, targets);
  return { base, lora, ids, next, loss: lora.model.loss(ids, next) };
} // prettier-ignore

/** By reachability alone: what a change of the parameters would change. */
function reached(tape: readonly TapeRecord[], params: Iterable<Tensor>): boolean[][] {
  const found = new Set(params);
  return tape.map(({ inputs, outputs }) => {
    const asked = inputs.map((x) => found.has(x));
    if (asked.includes(true)) for (const y of outputs) found.add(y);
    return asked;
  });
}

/** The results of what runs backward that are as large as W's gradient, whichever way it lies. */
function gradientsOfW(loss: Tensor, params: readonly Tensor[], W: ReadonlySet<string>): string[] {
  const found: string[] = [];
  observe(
    (_, __, outputs) => found.push(...outputs.map(({ shape }) => shown(shape.toSorted((a, b) => a - b)))),
    () => grad(loss, params),
  );
  return found.filter((shape) => W.has(shape));
}

it('shows the tape that the cpu records, and asks for the gradients that reach A and B alone', { timeout: 300_000 }, async () => {
  const targets = ['v', 'attn.c_proj', 'c_fc'];
  const page = await lab.open(`?device=wasm#/hood?r=3&alpha=6&targets=${targets.join(',')}&batch=2&context=16`);
  const node = inNodeStep(targets);
  await page.getByText('The calls of step 1 of LoRA’s training, on its next batch of 2 × 16 tokens.').waitFor({ timeout: 120_000 });
  const [, ...rows] = await tableOf(page, TIME);
  const { base, lora, ids, next, loss } = await node;
  const tape = tapeOf(loss);
  expect(rows.map(([, op, path]) => [op, path])).toEqual(tape.map(({ op, path }) => [op.name, path]));
  const asked = reached(tape, lora.parameters().values());
  const shapes = (cell: string): string[] => cell.match(/\[[\d, ]*\]/g) ?? [];
  tape.forEach(({ inputs, outputs }, i) => {
    const [, , , wanted, others, gives] = rows[i];
    const of = (is: boolean): string[] => inputs.filter((_, n) => asked[i][n] === is).map((x) => shown(x.shape));
    expect([shapes(wanted), shapes(others), gives], `call ${i}`).toEqual([of(true), of(false), shown(outputs[0].shape)]);
  });
  // A and B each once, and no weight of the base.
  const named = rows.flatMap(([, , , wanted]) => wanted.match(/transformer[\w.]+/g) ?? []);
  expect(named.toSorted()).toEqual([...lora.parameters().keys()].toSorted());
  const frozen = rows.flatMap(([, , , , others]) => others.match(/[\w.]+\.base\.weight/g) ?? []);
  expect(frozen).toHaveLength(4 * targets.length);

  // The products that nobody asks for: not one runs; where all weights learn, each does.
  const W = new Set(['[192, 576]', '[192, 192]', '[192, 768]', '[192, 2048]']);
  expect(gradientsOfW(loss, [...lora.parameters().values()], W)).toEqual([]);
  const full = castModule(base, 'f32');
  const matrices = full.parameters().filter(({ rank }) => rank === 2);
  for (const p of matrices) p.requiresGrad = true;
  expect(gradientsOfW(full.loss(ids, next), matrices, W).length).toBeGreaterThan(4 * 4);

  // Arithmetic: r (in + out) of each place in four blocks.
  const trained = 4 * 3 * (192 + 192 + 192 + 192 + 192 + 768);
  const figure = async (name: string): Promise<string | null> => page.locator('dt', { hasText: name }).locator('+ dd').textContent();
  expect(await figure('Numbers whose gradient is asked for')).toBe(trained.toLocaleString('en'));
  const ledger = new Map((await tableOf(page, MEMORY)).map(([line, bytes]) => [line, Number(bytes)]));
  expect(ledger.get('Frozen weights')).toBe(base.parameterBytes);
  expect(ledger.get('Trained weights')).toBe(4 * trained);
  expect(ledger.get('The optimiser’s state')).toBe(2 * 4 * trained);
  expect(ledger.get('Gradients')).toBeGreaterThanOrEqual(4 * trained);
  expect(ledger.get('Gradients')).toBeLessThan(1.25 * 4 * trained + 512); // memory comes in size classes
  const kept = (await tableOf(page, KEPT)).find(([op]) => op === 'gelu')!;
  expect(kept.slice(2).map(Number)).toEqual([4, 4 * (2 * 16 * 768) * 4]);
  expect(ledger.get('Activations')).toBeGreaterThan(Number(kept[3]));
}); // prettier-ignore

it('a call is looked at by keys: shapes, rules, what it is made of, its kernels', { timeout: 120_000 }, async () => {
  const page = await lab.open('?device=wasm#/hood?r=3&alpha=6&targets=q,c_fc&batch=1&context=16');
  const tree = page.getByRole('tree', { name: 'The calls of the tape' });
  await tree.getByRole('treeitem', { name: /transformer\.h\.0/ }).first().waitFor({ timeout: 120_000 });
  await tree.getByRole('treeitem', { selected: true }).focus();
  await page.keyboard.press('Home');
  await page.keyboard.press('ArrowDown');
  await page.getByRole('heading', { name: '0 loraLinear transformer.h.0.attn.c_attn' }).waitFor();
  const row = (name: string): ReturnType<typeof page.getByRole> => page.locator('.inputs tbody tr').filter({ hasText: name });
  expect(await row('base.weight').textContent()).toContain('frozen[576, 192]not asked for');
  for (const name of ['q.A', 'q.B']) expect(await row(name).textContent()).not.toContain('not asked for');
  // x → A → B → s → +, beside W x.
  const inner = await page.getByRole('region', { name: 'What it is made of' }).getByRole('img').getAttribute('aria-label');
  expect(inner).toMatch(/linear\(x, W, b\) \[1, 16, 576\] → .*linear\(z, A\) \[1, 16, 3\] → linear\(B\) \[1, 16, 192\] → mul\(2\) .* → add\(\) /);
  await page.getByText('These are the WGSL kernels that a GPU would be given').waitFor();
  await lab.button('matmul-rows.wgsl').first().click();
  const dialog = page.getByRole('dialog', { name: 'kernels/matmul-rows.wgsl' });
  expect((await dialog.locator('pre').textContent())!.trimEnd()).toBe(readFileSync('kernels/matmul-rows.wgsl', 'utf8').trimEnd());
  await dialog.getByRole('button', { name: 'Close' }).click();
  await tree.getByRole('treeitem', { name: /gelu/ }).first().click();
  await page.getByText(/^Computed for each element: .*tanh/).waitFor();
  await lab.button('The source: elementwise.ts').click();
  await page.locator('dialog[open] mark', { hasText: 'export const gelu' }).waitFor();
  await page.keyboard.press('Escape');
  await tree.getByRole('treeitem', { selected: true }).focus();
  await page.keyboard.press('End'); // closed groups stay closed: the loss is last
  await page.getByRole('heading', { name: /crossEntropy$/ }).waitFor();
  // A pointer finds its way by the picture, too.
  await page.locator('.graph .group').first().click();
  await tree.getByRole('treeitem', { name: /transformer\.h\.1/, expanded: true }).waitFor();
}); // prettier-ignore

it('times each call while the page stays awake, and can be stopped', { timeout: 300_000 }, async () => {
  const page = await lab.open('?device=wasm#/hood?r=3&alpha=6&targets=v&batch=1&context=16');
  await lab.button('Time each call').click({ timeout: 120_000 });
  await lab.button('Stop').click();
  await lab.said('Timing each call: stopped.');
  const longest = page.evaluate(
    async () =>
      new Promise<number>((resolve) => {
        let [last, most] = [performance.now(), 0];
        const timer = setInterval(() => {
          most = Math.max(most, performance.now() - last);
          last = performance.now();
          if (!document.querySelector('[role=note]')) return;
          clearInterval(timer);
          resolve(most);
        }, 10);
      }),
  );
  await lab.button('Time each call').click();
  await lab.said('Timing each call: done.');
  expect(await longest).toBeLessThan(1000);
  const [, ...rows] = await tableOf(page, TIME);
  let sum = 0;
  for (const [i, op, , asked, , , , , ...times] of rows) {
    const isView = ['reshape', 'permute'].includes(op);
    for (const [n, time] of times.entries()) {
      if (time === '') continue;
      expect(Number(time), `call ${i} ${n}`).toBeGreaterThan(0);
      expect(Number(time)).toBeLessThan(60_000);
      sum += Number(time);
    }
    expect(times[0] === '', `${op} forward`).toBe(isView || op === 'slice');
    if (['loraLinear', 'gelu', 'attention', 'layerNorm'].includes(op)) expect(times[1], `${op} of ${asked}`).not.toBe('');
  }
  const says = await page.getByText(/^The step at one go, both ways: /).textContent();
  const [both, forward, backward, calls] = says!.match(/\d[\d,.]*\d|\d/g)!.map((n) => Number(n.replaceAll(',', '')));
  expect((forward + backward) / both).toBeCloseTo(1, 1);
  expect(calls / sum).toBeCloseTo(1, 1);
}); // prettier-ignore

it('is the next step of the run, once one has begun', { timeout: 120_000 }, async () => {
  const page = await lab.open('?device=wasm#/training?r=2&targets=q&batch=1&context=8');
  await page.getByLabel('Train all weights beside it').uncheck();
  await page.getByLabel('Steps', { exact: true }).fill('2');
  await lab.button('Train').click();
  await lab.said('Training: done.');
  await page.getByRole('link', { name: 'Under the hood' }).click();
  await page
    .getByText('The calls of step 3 of LoRA’s training, on its next batch of 1 × 8 tokens.')
    .waitFor();
});

it('gives back all that it takes, also when it is stopped', { timeout: 120_000 }, async () => {
  const [never, quiet] = [new AbortController().signal, (): void => undefined];
  await opening.open({ home: lab.url, device: 'wasm', software: false }, quiet, never);
  await opening.read({ shipped: 'moby-dick' }, quiet, never);
  const choice = { ...ADAPTER, targets: ['v', 'c_fc'], seed: 1, batch: 1, context: 8 };
  await hood.tape(choice, quiet, never);
  const { live } = getBackend().memory();
  await hood.tape(choice, quiet, never);
  await hood.times(choice, quiet, never);
  await expect(hood.times(choice, quiet, AbortSignal.abort())).rejects.toThrow('aborted');
  expect(getBackend().memory().live).toBeLessThanOrEqual(live);
});

it('every op that a step can have is told of, where it stands', { timeout: 120_000 }, async () => {
  const { base } = await inNode();
  const ids = randomWindows(Int32Array.from({ length: 40 }, (_, i) => i), 0, { batch: 1, context: 8 });
  for (const target of [...TARGETS, undefined]) {
    const lora = await adapted(base, target ? [target] : TARGETS);
    adamW(lora.parameters());
    const loss = lora.model.loss(ids.ids, ids.targets);
    for (const { op, inputs } of tapeOf(loss)) {
      const formula = OP_FORMULAS[op.name];
      expect(formula, op.name).toBeDefined();
      const symbols = formula.symbols(inputs.length);
      expect(symbols, op.name).toHaveLength(inputs.length);
      for (const symbol of symbols) expect(gradientOf(formula, symbol), `${op.name} ${symbol}`).toBeDefined();
    }
    lora.detach();
  }
  for (const { y, where, gradients, source } of Object.values(OP_FORMULAS)) {
    for (const tex of [y, where ?? '', ...Object.values(gradients)]) katex.renderToString(tex, { throwOnError: true });
    expect(readFileSync(source.file, 'utf8').split(source.at!)).toHaveLength(2);
  }
}); // prettier-ignore
