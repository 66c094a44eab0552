/** The view of training: LoRA learns, all weights learn, the base does not; one can stop, go on and change one's mind. */
import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { countLora } from 'bax';
import { tableOf, useLab } from './support.ts';

const lab = useLab();
const LOSS = 'Loss on the batch, nats a token';
const SMALL = 'batch=2&context=32';

/** Step, LoRA, all weights, base. */
const losses = async (): Promise<number[][]> =>
  (await tableOf(lab.page, LOSS)).slice(1).map((row) => row.map(Number));
async function train(steps: number): Promise<void> {
  await lab.page.getByLabel('Steps', { exact: true }).fill(String(steps));
  await lab.page.getByRole('button', { name: /^(Train|Go on)$/ }).click();
  await lab.said('Training: done.');
}
const cells = async (row: string): Promise<string[]> =>
  lab.page
    .getByRole('table', { name: 'What each costs' })
    .getByRole('row', { name: new RegExp(`^${row}`) })
    .getByRole('cell')
    .allTextContents();

it('learns, on the same batches; what it costs is what LoRA’s count says', { timeout: 240_000 }, async () => {
  const page = await lab.open(`?device=wasm#/training?${SMALL}&r=4&targets=q,v`);
  await train(20);
  const rows = await losses();
  expect(rows.map(([step]) => step)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
  expect(rows[0][1]).toBeCloseTo(rows[0][3], 5); // with B = 0 it is the base
  expect(rows[0][2]).toBeCloseTo(rows[0][3], 5);
  const late = rows.slice(-8);
  const mean = (column: number): number => late.reduce((sum, row) => sum + row[column], 0) / late.length;
  expect(mean(1)).toBeLessThan(mean(3));
  expect(mean(2)).toBeLessThan(mean(3));

  const { parameters } = countLora({ layers: 4, width: 192, matrices: ['q', 'v'], r: 4 });
  expect((await cells('LoRA'))[0]).toBe(parameters.toLocaleString('en'));
  expect((await cells('All weights'))[0]).toBe('2,197,632');
  const [fresh, old] = [await tableOf(page, 'Perplexity on held-out new text'), await tableOf(page, 'Perplexity on the old domain')];
  expect(fresh.map(([step]) => step)).toEqual(['Steps', '0', '20']);
  expect(Number(fresh[2][1])).toBeLessThan(Number(fresh[1][1]));
  for (const table of [fresh, old]) {
    expect(table[2][3]).toBe(table[1][3]); // the base does not learn, and does not forget
    expect(table[1][1]).toBe(table[1][3]);
  }
}); // prettier-ignore

it('learns the same on WebGPU', { timeout: 240_000 }, async () => {
  const on = async (device: string): Promise<number[][]> => {
    await lab.open(`${device}#/training?batch=1&context=16&r=4&targets=q,v`);
    await train(3);
    return losses();
  };
  const [gpu, wasm] = [await on('?device=webgpu&software'), await on('?device=wasm')];
  gpu.forEach((row, i) => row.forEach((x, j) => expect(x).toBeCloseTo(wasm[i][j], 3)));
});

it('pauses, goes on where it was, and changes rank and rate without losing what was learned', { timeout: 240_000 }, async () => {
  const page = await lab.open(`?device=wasm#/training?${SMALL}`);
  await page.getByLabel('Train all weights beside it').uncheck();
  await page.getByLabel('Steps', { exact: true }).fill('5000');
  await lab.button('Train').click();
  await page.getByText(/^([3-9]|\d\d+) steps made$/).waitFor({ timeout: 60_000 });
  await lab.button('Pause').click();
  await lab.said('Training: stopped.');
  const made = (await losses()).length;
  expect(made).toBeGreaterThan(2);
  await lab.button('One step').click();
  await lab.said('Training: done.');
  expect(await losses()).toHaveLength(made + 1);

  await page.getByLabel('Learning rate of LoRA').fill('0');
  const perplexity = async (): Promise<number> => {
    await train(2); // with which nothing moves
    return Number((await tableOf(page, 'Perplexity on held-out new text')).at(-1)![1]);
  };
  const learned = await perplexity();
  for (const [rank, trained] of [[12, '165,888'], [2, '27,648']] as const) {
    const before = await losses();
    await page.getByLabel('Rank r').fill(String(rank));
    await lab.button(`Change to rank ${rank}`).click();
    await lab.said('Changing the rank: done.');
    expect(await page.getByLabel('α', { exact: true }).inputValue()).toBe(String(rank)); // α/r is 1 from then on
    expect((await cells('LoRA'))[0]).toBe(trained); // r · Σ (in + out)
    expect((await cells('LoRA'))[5]).toBe(''); // what was measured was another adapter
    expect(await losses()).toEqual(before);
    const now = await perplexity();
    if (rank > 8) expect(now / learned).toBeCloseTo(1, 4); // more to learn in, and nothing else yet
    else expect(now / learned).not.toBeCloseTo(1, 4); // the nearest of a smaller rank
  }
}); // prettier-ignore

it('a run is what it was begun with, whatever the fields say meanwhile, and does not end unasked', { timeout: 120_000 }, async () => {
  const page = await lab.open('?device=wasm#/training?r=2&batch=2&context=16');
  const cell = async (column: number): Promise<string | null> =>
    page
      .getByRole('region', { name: 'What each costs' })
      .getByRole('row', { name: /^LoRA/ })
      .getByRole('cell')
      .nth(column)
      .textContent();
  const rank2 = 4 * (2 * (192 + 192) * 4 + 2 * (192 + 768) * 2);
  await expect.poll(async () => cell(0)).toBe(rank2.toLocaleString('en')); // before anything is trained, too
  await lab.button('One step').click();
  await page.getByText('1 step made').waitFor({ timeout: 60_000 });
  await lab.said('Training: done.');
  expect(await page.getByText('This run has').count()).toBe(0);
  const [trained, speed] = [await cell(0), await cell(3)];
  await page.getByLabel('α', { exact: true }).fill('64');
  await page.getByLabel('Rows of a batch').fill('32');
  await page.getByText('This run has r = 2, α = 16, in q, k, v, attn.c_proj, c_fc, mlp.c_proj, seed 1, 2 × 16 tokens a step.').waitFor();
  expect([await cell(0), await cell(3)]).toEqual([trained, speed]);

  await page.getByLabel('Rank r').fill('1000');
  await lab.button('One step').click();
  await lab.button('Begin anew').click();
  expect(await page.getByText('1 step made').count()).toBe(1);
  expect(lab.asked).toEqual([]);
  await page.getByLabel('Rank r').fill('2');
  await lab.button('Begin anew').click();
  await page.getByText('Nothing is learned yet.').first().waitFor();
  expect(lab.asked).toEqual([expect.stringContaining('This ends the run (steps made: 1).')]);
}); // prettier-ignore

it('of another text nothing has begun, wherever one looks', { timeout: 120_000 }, async () => {
  const page = await lab.open('?device=wasm#/training?r=2&batch=2&context=16');
  await train(3);
  await page.getByLabel('Rank r').fill('5');
  await page.getByRole('combobox', { name: 'Text to learn' }).first().selectOption('recent-presidents');
  await page.getByText('Nothing is learned yet.').first().waitFor();
  await page.getByRole('link', { name: 'Under the hood' }).click();
  await page.getByText(/^The calls of step 1 of LoRA’s training/).waitFor();
  await page.getByText('[5, 192]').first().waitFor();
});

it('says when a short text is learned by heart', { timeout: 120_000 }, async () => {
  const page = await lab.open('?device=wasm#/training?text=own');
  await page.getByLabel('Text to learn').first().selectOption('own');
  await page.getByLabel('Paste a text here').fill(await readFile('LICENSE', 'utf8'));
  await lab.button('Use this text').click();
  await lab.said('Reading the text: done.');
  await page.getByLabel('Train all weights beside it').uncheck();
  await page.getByLabel('Steps', { exact: true }).fill('120');
  await lab.button('Train').click();
  await lab.said('Training: done.');
  const [best, ...later] = (await tableOf(page, 'Perplexity on held-out new text')).slice(1).map((row) => [Number(row[0]), Number(row[1])] as const).toSorted((a, b) => a[1] - b[1]); // prettier-ignore
  expect(later.length).toBeGreaterThan(2);
  await page.getByText(`was lowest after ${best[0]} steps, and has risen since`).waitFor();
});
