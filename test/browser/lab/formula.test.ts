/** The view of the formula: what it counts is what the formulas give, and what it draws is to scale. */
import type { Locator } from 'playwright-core';
import { expect, it } from 'vitest';
import { paper } from '../../../examples/lab/src/words/ja.ts';
import { tableOf, useLab } from './support.ts';

const lab = useLab();
const sizeOf = async (matrix: string): Promise<{ width: number; height: number }> =>
  (await lab.page.locator(`[data-matrix="${matrix}"]`).first().boundingBox())!;
const figure = (term: string): Locator =>
  lab.page.locator('.figures > div').filter({ hasText: term }).getByRole('definition');
const COUNTS = 'Trained numbers in the paper';

it('counts GPT-3 as the paper’s formula does, at once when r is moved, and α changes nothing', async () => {
  const page = await lab.open('?device=wasm#/formula?counted=gpt3&r=4&alpha=8&targets=q,v');
  const count = (r: number): number => 2 * (96 * 2) * 12288 * r; // |Θ| = 2 · L̂ · d · r
  const trained = (r: number): Promise<void> =>
    figure('Numbers trained').filter({ hasText: count(r).toLocaleString('en') }).waitFor(); // prettier-ignore
  await trained(4);
  await page.getByText(`its A and B have r (in + out) = 4 (12288 + 12288) = ${(4 * 24576).toLocaleString('en')}.`).waitFor(); // prettier-ignore
  expect(await figure('The adapter’s size').textContent()).toBe('75.5 MB f32 · 37.7 MB f16');
  expect(await figure('s = α/r').textContent()).toBe('2');
  const share = await figure('Share of the model').textContent();
  expect(parseFloat(share!)).toBeCloseTo((100 * count(4)) / 175e9, 3);

  await page.getByRole('slider', { name: 'Rank r' }).focus();
  for (let i = 0; i < 4; i++) await page.keyboard.press('ArrowRight');
  await trained(8);
  await page.getByRole('slider', { name: 'α' }).focus();
  await page.keyboard.press('End');
  await figure('s = α/r').filter({ hasText: '16' }).waitFor(); // 128/8
  await trained(8);
  await page.getByRole('slider', { name: 'Rank r' }).focus();
  await page.keyboard.press('End');
  await trained(64);
  await page.waitForURL(/#\/formula\?r=64&alpha=128&targets=q%2Cv&counted=gpt3$/);
});

it('draws W, B and A to one scale, whatever their shapes', async () => {
  const page = await lab.open('?device=wasm#/formula?r=16');
  for (const [name, rows, columns] of [
    ['q', 192, 192],
    ['c_fc', 768, 192],
    ['mlp.c_proj', 192, 768],
  ] as const) {
    await page.getByLabel('Which W is drawn').selectOption(name);
    const [W, B, A, delta] = await Promise.all(['W', 'B', 'A', 'ΔW'].map(sizeOf));
    const pixels = Math.max(W.width, W.height) / Math.max(rows, columns);
    const near = (is: number, numbers: number): void =>
      expect(Math.abs(is - numbers * pixels)).toBeLessThan(0.5);
    near(W.width, columns);
    near(W.height, rows);
    expect(delta).toMatchObject({ width: W.width, height: W.height });
    near(B.height, rows);
    near(A.width, columns);
    near(B.width, 16);
    near(A.height, 16);
  }
});

it('works the paper’s table out again, and finds its errata', async () => {
  const page = await lab.open('?device=wasm#/formula');
  const [, ...rows] = await tableOf(page, COUNTS);
  const sizes: Record<string, [layers: number, width: number]> = {
    'RoBERTa base': [12, 768], 'RoBERTa large': [24, 1024], 'DeBERTa XXL': [48, 1536], 'GPT-2 M': [24, 1024], 'GPT-2 L': [36, 1280], 'GPT-3': [96, 12288],
  }; // prettier-ignore
  for (const [method, model, what, r, count] of rows) {
    const [layers, width] = sizes[model];
    if (method === 'LoRA') expect(Number(count)).toBe(2 * layers * what.split(', ').length * width * Number(r)); // prettier-ignore
    if (method === 'Adapter') expect(Number(count)).toBe(2 * layers * (2 * width * Number(r) + Number(r) + width)); // prettier-ignore
  }
  const wrong = rows.filter(([, , , , , , verdict]) => verdict.includes('differs'));
  expect(wrong.map(([method, model, , r]) => [method, model, r].join(' '))).toEqual([
    'LoRA DeBERTa XXL 8', 'LoRA GPT-2 M 4', 'LoRA GPT-2 L 4', 'LoRA GPT-3 64', 'full GPT-2 M ', 'full GPT-3 ', 'PrefixLayer GPT-3 16',
  ].map((name) => name.replace('full', 'All weights'))); // prettier-ignore
  await page.getByText(`Its ${rows.length} counts`).waitFor();
  await page.getByText(`${wrong.length} print another number`).waitFor();

  const last = page.getByRole('region', { name: COUNTS }).getByRole('row').filter({ hasText: '603.8M' });
  await last.getByRole('button', { name: 'q, k, v, o' }).click();
  await figure('Numbers trained').filter({ hasText: '603,979,776' }).waitFor();
  await expect.poll(async () => last.getAttribute('aria-current')).toBe('true');

  const [, ...memory] = await tableOf(page, 'GPT-3’s memory in the paper, line by line');
  const places = [...rows.map((row) => row[5]), ...memory.map((row) => row[3])].flatMap((text) => [...text.matchAll(/\((.+?)\)/g)].map(([, where]) => where)); // prettier-ignore
  const kinds = rows.filter(([method]) => method !== 'LoRA').map(([, , what]) => what);
  for (const said of [
    ...places,
    ...kinds,
    ...rows.map((row) => row[7]),
    ...memory.flatMap((row) => [row[0], row[5]]),
  ])
    expect(said === '' || said in paper, `in Japanese: ${said}`).toBe(true);
});

it('says where the memory of a step goes', async () => {
  const page = await lab.open('?device=wasm#/formula?r=2&targets=q&batch=2&context=16');
  const name = 'Where the memory of training goes';
  const read = async (): Promise<Record<string, [full: number, lora: number]>> => {
    await page.getByText(/^All weights need/).waitFor();
    const [, ...lines] = await tableOf(page, name);
    return Object.fromEntries(lines.map(([line, full, lora]) => [line, [Number(full), Number(lora)]]));
  };
  const [model, adapter] = [4 * 2_197_632, 4 * 4 * 2 * (192 + 192)]; // bytes in f32
  const ledger = await read();
  expect(ledger['Frozen weights']).toEqual([0, model]);
  expect(ledger['Trained weights']).toEqual([model, adapter]);
  expect(ledger['Gradients']).toEqual([model, adapter]);
  expect(ledger['The optimiser’s state']).toEqual([2 * model, 2 * adapter]);
  await page.getByLabel('Rows of a batch').fill('4');
  await expect.poll(async () => (await read())['Activations'][1], { timeout: 10_000 }).toBeGreaterThan(1.9 * ledger['Activations'][1]); // prettier-ignore
});

it('answers while the model trains', async () => {
  const page = await lab.open('?device=wasm#/training?r=2&targets=q&batch=4&context=64');
  await page.getByLabel('Steps', { exact: true }).fill('5000');
  await lab.button('Train').click();
  await page.getByText(/^\d+ steps? made$/).waitFor({ timeout: 60_000 });
  await page.getByRole('link', { name: 'The formula' }).click();
  await figure('Numbers trained').filter({ hasText: '3,072' }).waitFor();
  await page.getByRole('slider', { name: 'Rank r' }).press('ArrowRight');
  await figure('Numbers trained').filter({ hasText: '4,608' }).waitFor({ timeout: 2000 });
  await lab.said('Training …');
  await lab.button('Stop').click();
  await lab.said('Training: stopped.');
});
