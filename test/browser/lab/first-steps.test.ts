/** The view of the first steps: what it says of A, B and their gradients is so. */
import { attachLora, grad, key, loadGpt2, loadTokenizer, planLora, randomWindows, setBackend } from 'bax';
import { openFolder } from 'bax/node';
import { cpu } from '@bax/cpu';
import { expect, it } from 'vitest';
import { texts } from '../../../examples/lab/texts.ts';
import { tableOf, useLab } from './support.ts';

const lab = useLab();
const PATH = 'transformer.h.1.attn.c_attn.v';
const numbers = async (name: string): Promise<number[]> => (await tableOf(lab.page, name)).flat().map(Number);

/** ∇B at step 0, by the cpu in f64: s G (A X)ᵀ, where G and X are what the whole model makes of them. */
async function gradientsInNode(r: number, alpha: number): Promise<{ dA: number[]; dB: number[] }> {
  setBackend(cpu());
  const folder = await openFolder('examples/finetune/base');
  const [model, tokenizer] = [await loadGpt2(folder), await loadTokenizer(folder)];
  const tokens = tokenizer.encode(texts().get('moby-dick')!);
  const lora = await attachLora(model, planLora(model, { targets: [PATH], r, alpha }), { key: key(1) });
  const { ids, targets } = randomWindows(tokens.subarray(0, Math.floor(tokens.length * 0.9)), 0, { batch: 2, context: 48 }); // prettier-ignore
  const [dA, dB] = grad(lora.model.loss(ids, targets), [...lora.parameters().values()]);
  return { dA: [...(await dA.data())], dB: [...(await dB.data())] };
}

it(
  '∇A is exactly zero at step 0 and ∇B is not; after a step both are awake',
  { timeout: 120_000 },
  async () => {
    const page = await lab.open('?device=wasm#/steps?r=4&alpha=12');
    await page.getByText('Step 0', { exact: true }).waitFor();
    await page.getByLabel('Matrix').selectOption(PATH);
    await lab.said('Taking a step: done.');
    await page.getByRole('img', { name: '∇A [4, 192]. All 768 numbers are exactly 0.' }).waitFor();
    await page.getByText('∇A is exactly zero and ∇B is not').waitFor();
    expect((await numbers('B')).every((x) => x === 0)).toBe(true);
    expect((await numbers('∇A')).every((x) => x === 0)).toBe(true);
    const [A, dB, expected] = [await numbers('A'), await numbers('∇B'), await gradientsInNode(4, 12)];
    expect(expected.dA.every((x) => x === 0)).toBe(true);
    const scale = Math.max(...expected.dB.map(Math.abs));
    dB.forEach((x, i) => expect(Math.abs(x - expected.dB[i])).toBeLessThan(1e-4 * scale));

    await lab.button('Take a step').click();
    await page.getByText('Step 1', { exact: true }).waitFor();
    await page.getByText('Both gradients differ from zero').waitFor();
    const B = await numbers('B');
    B.forEach((x, i) => expect(x).toBeCloseTo(-dB[i], 6)); // SGD with η = 1
    expect(await numbers('A')).toEqual(A); // whose gradient was zero
    expect((await numbers('∇A')).some((x) => x !== 0)).toBe(true);

    await lab.button('Take a step').click();
    await page.getByText('Step 2', { exact: true }).waitFor();
    expect(await numbers('A')).not.toEqual(A);
    await lab.button('Step back').click();
    await page.getByText('Step 1', { exact: true }).waitFor();
    expect(await numbers('B')).toEqual(B);
  },
);

it('a number can be asked for by pointer and by keys', async () => {
  const page = await lab.open('?device=wasm#/steps');
  await page.getByText('Step 0', { exact: true }).waitFor();
  const table = await tableOf(page, 'A');
  const map = page.getByRole('img', { name: /^A \[8, 192\]/ });
  await map.focus();
  for (const name of ['ArrowRight', 'ArrowRight', 'ArrowDown']) await page.keyboard.press(name);
  const shown = await page.getByText(/^A\[1, 2\] = /).textContent();
  expect(Number(/= (.+)$/.exec(shown!)![1])).toBeCloseTo(Number(table[1][2]), 5);
  const box = (await map.boundingBox())!;
  await page.mouse.move(box.x + box.width - 2, box.y + box.height - 2);
  await page.getByText(/^A\[7, 191\] = /).waitFor();
});
