/** Many adapters: what they do one by one, blended, and in one batch, is what the cpu computes of the files they export. */
import { type Adapter, LoraModel, noGrad, tensor } from 'bax';
import type { Locator, Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { inNode } from './in-node.ts';
import { downloadOf, tableOf, useLab } from './support.ts';

const lab = useLab();
const TIME = { timeout: 180_000 };
const PROMPT = 'The whale';
const SETTINGS = 'r=2&alpha=4&targets=q,c_fc&batch=2&context=16&tokens=12&temperature=0&lr=0.02';
const item = (page: Page, name: string): Locator => page.getByRole('listitem', { name, exact: true });
const weight = (page: Page, name: string): Locator => page.getByRole('slider', { name: `Weight of ${name}` });

async function opened(): Promise<Page> {
  const page = await lab.open(`?device=wasm#/adapters?${SETTINGS}`);
  return page;
}
async function teach(page: Page, text: string, steps: number): Promise<void> {
  await page.getByRole('region', { name: 'Many adapters' }).getByLabel('Text to learn').selectOption(text);
  await page.getByRole('region', { name: 'Many adapters' }).getByLabel('Steps').fill(String(steps));
  await lab.button('Train an adapter').click();
  await item(page, text).waitFor({ timeout: 60_000 });
  await lab.said('Training an adapter: done.');
}
const exported = async (page: Page, name: string): Promise<Buffer> =>
  downloadOf(page, lab.button(`Export ${name} as a PEFT directory in a .zip`));
/** Logits of what comes next: the base's and the blend's. */
async function expectedNext(page: Page): Promise<{ base: number[]; blend: number[] }> {
  await page.waitForTimeout(500); // the table follows the sliders
  const rows = (await tableOf(page, 'What comes next')).slice(1).map((row) => row.slice(-4).map(Number));
  return { base: rows.map((row) => row[0]), blend: rows.map((row) => row[2]) };
}
function expectClose(found: ArrayLike<number>, wanted: ArrayLike<number>): void {
  expect(found.length).toBe(wanted.length);
  const largest = Math.max(...Array.from(wanted, Math.abs));
  const difference = Math.max(...Array.from(wanted, (z, i) => Math.abs(z - found[i])));
  expect(difference / largest).toBeLessThan(2e-5);
}
const norm = (all: readonly number[]): number => Math.sqrt(all.reduce((sum, x) => sum + x * x, 0));
/** s B A of one target, as plain numbers. */
async function product(adapter: Adapter, target: string): Promise<number[]> {
  const { A, B, scale } = adapter.branches.get(target)!;
  const [a, b, [r, columns]] = [await A.data(), await B.data(), A.shape];
  return Array.from({ length: B.shape[0] * columns }, (_, at) => {
    let sum = 0;
    for (let k = 0; k < r; k++) sum += b[Math.floor(at / columns) * r + k] * a[k * columns + (at % columns)];
    return scale * sum;
  });
}

it('two that learned different texts: one, the other, a blend, its sum, a negation', TIME, async () => {
  const page = await opened();
  await teach(page, 'moby-dick', 8);
  await teach(page, 'early-presidents', 8);
  const node = await inNode();
  const names = ['moby-dick', 'early-presidents'];
  const lora = new LoraModel(node.base);
  for (const name of names) lora.add(name, await node.adapter(await exported(page, name)));
  const wanted = async (weights: Record<string, number>): Promise<Float32Array> => {
    lora.activate(weights);
    return node.next(lora.model, PROMPT);
  };

  await lab.button('moby-dick alone').click();
  const alone = await expectedNext(page);
  expectClose(alone.blend, await wanted({ 'moby-dick': 1 }));
  expectClose(alone.base, await node.next(node.base, PROMPT));
  await lab.button('early-presidents alone').click();
  expectClose((await expectedNext(page)).blend, await wanted({ 'early-presidents': 1 }));

  // By keyboard, to the ends and in between.
  await weight(page, 'moby-dick').focus();
  await page.keyboard.press('End');
  await weight(page, 'early-presidents').focus();
  for (const key of ['Home', 'ArrowRight', 'ArrowRight', 'ArrowRight']) await page.keyboard.press(key);
  await page.getByText('W + 2 ΔW(moby-dick) − 1.7 ΔW(early-presidents)').waitFor();
  const blend = { 'moby-dick': 2, 'early-presidents': -1.7 };
  const blended = await wanted(blend);
  expectClose((await expectedNext(page)).blend, blended);
  await lab.button('Write with the blend').click();
  await lab.said('Writing: done.');
  lora.activate(blend);
  expect(await page.getByRole('region', { name: 'Many adapters' }).getByLabel('What the model wrote').textContent()).toBe(await node.written(lora.model, PROMPT, 12)); // prettier-ignore

  // One adapter that does the same, and one that undoes another.
  await page.getByLabel('Make one adapter of it, as').fill('sum');
  await lab.button('Add up').click();
  await item(page, 'sum').getByText('r = 4, 8 matrices').waitFor();
  const said = await page.getByText(/“sum” does alone what the blend does/).textContent();
  const [difference, bound] = /most ([\d.e-]+)\. Rounding may make it ([\d.e-]+)\./.exec(said!)!.slice(1).map(Number); // prettier-ignore
  expect(difference).toBeLessThan(bound);
  await lab.button('sum alone').click();
  expectClose((await expectedNext(page)).blend, blended);
  await lab.button('Negated copy of moby-dick').click();
  await item(page, 'moby-dick-neg').waitFor();
  await lab.said('Making an adapter: done.');
  await lab.button('moby-dick alone').click();
  await weight(page, 'moby-dick-neg').fill('1');
  const back = await expectedNext(page);
  expectClose(back.blend, back.base);
});

it('a smaller copy is as near as no other, and lacks what is said', TIME, async () => {
  const page = await opened();
  await teach(page, 'moby-dick', 4);
  await page.getByLabel('Rank of a smaller copy of moby-dick').fill('1');
  await lab.button('Copy of rank 1 of moby-dick').click();
  await item(page, 'moby-dick-r1').getByText('r = 1').waitFor();
  const lost = new Map((await tableOf(page, 'What the smaller rank lost')).slice(1).map(([path, share]) => [path, Number(share)])); // prettier-ignore
  const node = await inNode();
  const [whole, small] = [
    await node.adapter(await exported(page, 'moby-dick')),
    await node.adapter(await exported(page, 'moby-dick-r1')),
  ];
  expect([...lost.keys()]).toEqual([...whole.branches.keys()]);
  for (const [path, share] of lost) {
    const [D, d] = [await product(whole, path), await product(small, path)];
    expect(norm(D.map((x, i) => x - d[i])) / norm(D)).toBeCloseTo(share, 4);
    expect(share).toBeLessThanOrEqual(Math.SQRT1_2); // σ₂ of σ₁ ≥ σ₂
  }
});

it('rows of one batch are written as each alone', TIME, async () => {
  const page = await opened();
  await teach(page, 'moby-dick', 6);
  await teach(page, 'recent-presidents', 6);
  await lab.button('Write the rows together').click();
  await lab.said('Writing: done.');
  const note = page.getByText(/^All [\d,]+ logits/);
  await note.waitFor();
  const [prompt, context] = [(await inNode()).tokenizer.encode(PROMPT).length, 12];
  expect(await note.textContent()).toContain(`All ${(3 * (prompt + context) * 2048).toLocaleString('en')} logits`); // prettier-ignore
  const rows = page.getByRole('table').filter({ hasText: 'What the model wrote' }).getByRole('row');
  const together = await Promise.all([1, 2, 3].map(async (i) => rows.nth(i).getByRole('cell').textContent()));
  const ask = page.getByRole('region', { name: 'Ask the model' });
  for (const [i, who] of ['Frozen base', 'moby-dick', 'recent-presidents'].entries()) {
    await ask.getByLabel('Who writes').selectOption({ label: who });
    await ask.getByRole('button', { name: 'Write' }).click();
    await expect.poll(async () => ask.getByLabel('What the model wrote').textContent()).toBe(together[i]);
    await lab.said('Writing: done.');
  }
  expect(new Set(together).size).toBe(3);

  // Bytes to scale: 4 bytes for each number of A and B.
  const ranks = 4 * 2 * (192 + 192 + 192 + 768);
  await item(page, 'moby-dick')
    .getByText(`8 matrices, ${ranks.toLocaleString('en')} numbers`)
    .waitFor();
  const [one, many] = await page.getByRole('img', { name: /^(One base|As many models)/ }).all();
  const widths = async (bar: Locator): Promise<number[]> =>
    Promise.all((await bar.locator('span').all()).map(async (span) => (await span.boundingBox())!.width));
  const [base, small] = await widths(one);
  expect(small / base).toBeCloseTo((4 * ranks) / 8_790_528, 2);
  expect((await widths(many)).every((width) => Math.abs(width - base) < 1)).toBe(true);
  expect((await tableOf(page, 'Bytes, to scale')).slice(1).map((row) => Number(row[1]))).toEqual([8_790_528, 4 * ranks, 4 * ranks]); // prettier-ignore
});

it('without a prompt others can be made of it, too', TIME, async () => {
  const page = await opened();
  await teach(page, 'moby-dick', 2);
  await page.getByRole('region', { name: 'Ask the model' }).getByLabel('Prompt').fill('');
  await lab.button('Negated copy of moby-dick').click();
  await lab.said('Making an adapter: done.');
  await page.getByText(/“moby-dick-neg”, beside the one that it negates, gives the base back/).waitFor();
  await lab.button('moby-dick alone').click();
  await page.getByLabel('Make one adapter of it, as').fill('sum');
  await lab.button('Add up').click();
  await page.getByText(/“sum” does alone what the blend does/).waitFor();
});

it('a lesson that was stopped does not go on in a later one', TIME, async () => {
  const page = await opened();
  await page.getByRole('region', { name: 'Many adapters' }).getByLabel('Steps').fill('2000');
  await lab.button('Train an adapter').click();
  await page.getByText(/^Step \d+ of 2,000/).waitFor();
  await lab.button('Stop').click();
  await lab.said('Training an adapter: stopped.');
  await lab.button('moby-dick alone').click();
  await lab.button('Delete moby-dick').click();
  await lab.said('Deleting: done.');
  await teach(page, 'moby-dick', 1);
  expect(await weight(page, 'moby-dick').inputValue()).toBe('0'); // it is another one
  const again = await (await inNode()).adapter(await exported(page, 'moby-dick'));
  await lab.button('Delete moby-dick').click();
  await lab.said('Deleting: done.');
  await page.reload();
  await teach(page, 'moby-dick', 1);
  const fresh = await (await inNode()).adapter(await exported(page, 'moby-dick'));
  for (const [path, { B }] of fresh.branches)
    expect(await again.branches.get(path)!.B.data()).toEqual(await B.data());
});

it('of a prompt that is longer than the context its last tokens are read', TIME, async () => {
  const page = await opened();
  const prompt = 'x7 '.repeat(160).trim();
  const node = await inNode();
  const ids = [...node.tokenizer.encode(prompt)].slice(-127);
  expect(ids).toHaveLength(127);
  const logits = await noGrad(() => node.base.lastLogits(tensor([ids], { dtype: 'i32' }))).data();
  const likeliest = logits.indexOf(Math.max(...logits));
  const ask = page.getByRole('region', { name: 'Ask the model' });
  await ask.getByLabel('Prompt').fill(prompt);
  await ask.getByRole('button', { name: 'Write' }).click();
  await lab.said('Writing: done.');
  const written = ask.getByLabel('What the model wrote');
  await expect.poll(async () => written.textContent()).toBe(prompt + node.tokenizer.decode([likeliest]));
});
