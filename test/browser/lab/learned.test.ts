/** The view of what was learned: ΔW, its directions and what they share with others' are those that the cpu finds. */
import { cpu } from '@bax/cpu';
import { adamW, attachLora, castModule, key, linalg, loadGpt2, loadTokenizer, planLora, randomWindows, setBackend, train, type Gpt2, type Linear, type Matrix, type Tensor } from 'bax'; // prettier-ignore
import { openFolder } from 'bax/node';
import { expect, it } from 'vitest';
import { texts } from '../../../examples/lab/texts.ts';
import { tableOf, useLab } from './support.ts';

const lab = useLab();
const [PATH, STEPS, RATE] = ['transformer.h.1.attn.c_attn.v', 3, 0.02];
const SIZES = { batch: 1, context: 16 };
const [LORA, FULL] = ['ΔW, LoRA', 'ΔW, All weights'];

/** A picture's numbers as a matrix; what is empty is NaN. */
async function matrixOf(name: string): Promise<Matrix> {
  const table = await tableOf(lab.page, name);
  return linalg.matrix(table.length, table[0].length, table.flat().map(Number));
}
const host = async (t: Tensor): Promise<Matrix> => linalg.matrix(t.shape[0], t.shape[1], await t.data());
const apart = (a: Matrix, b: Matrix): number =>
  linalg.frobenius(linalg.plus(a, linalg.scaled(b, -1))) / linalg.frobenius(b);

/** What the same steps make on the cpu, of W as it is called by PATH. */
async function inNode() {
  setBackend(cpu());
  const folder = await openFolder('examples/finetune/base');
  const [base, tokenizer] = [await loadGpt2(folder), await loadTokenizer(folder)];
  const tokens = tokenizer.encode(texts().get('moby-dick')!);
  const read = tokens.subarray(0, Math.floor(tokens.length * 0.9));
  const learn = async (learner: Gpt2, params: ReadonlyMap<string, Tensor>, rate: number): Promise<void> =>
    void (await train({
      batches: (step) => randomWindows(read, step, { ...SIZES, seed: 1 }),
      loss: ({ ids, targets }) => learner.loss(ids, targets),
      optimizer: adamW(params, { lr: rate, weightDecay: 0 }),
      clip: 1,
      steps: STEPS,
    }));
  const adapter = async (r: number, seed: number): Promise<{ A: Matrix; delta: Matrix }> => {
    const lora = await attachLora(base, planLora(base, { targets: ['v'], r, alpha: 6 }), { key: key(seed) });
    await learn(lora.model, lora.parameters(), RATE);
    const { A, B } = lora.adapter().branches.get(PATH)!;
    return { A: await host(A), delta: linalg.times(linalg.scaled(await host(B), 6 / r), await host(A)) };
  };
  const rows = async (of: Gpt2): Promise<Matrix> => linalg.rowsOf(await host((of.transformer.h[1].attn.c_attn as Linear).matrix), 384, 192); // prettier-ignore
  const full = castModule(base, 'f32');
  for (const p of full.parameters()) p.requiresGrad = true;
  await learn(full, full.namedParameters(), 0.001);
  const W = await rows(base);
  return { W, one: await adapter(3, 1), other: await adapter(5, 9), full: linalg.plus(await rows(full), linalg.scaled(W, -1)) }; // prettier-ignore
}

/** Equation 4, in words: of orthonormal columns V (n of them) and V′ the squares of all cosines, over the fewer. */
const phi = (V: Matrix, other: Matrix): number =>
  linalg.frobenius(linalg.times(linalg.turned(V), other)) ** 2 / Math.min(V.columns, other.columns);

it('shows ΔW, its singular values, its amplification and its likeness to another adapter’s, as the cpu finds them', { timeout: 300_000 }, async () => {
  const page = await lab.open(`?device=wasm#/training?r=3&alpha=6&targets=v&batch=1&context=16&lr=${RATE}&otherR=5&otherSeed=9`); // prettier-ignore
  const node = inNode();
  await page.getByLabel('Steps', { exact: true }).fill(String(STEPS));
  await lab.button('Train').click();
  await page.getByText(`${STEPS} steps made`).waitFor({ timeout: 60_000 });
  await page.getByRole('link', { name: 'What was learned' }).click();
  await page.getByLabel('Matrix', { exact: true }).selectOption(PATH);
  await page.getByRole('img', { name: `${LORA} [192, 192]` }).waitFor();
  await lab.button('Train the other adapter').click();
  await page.getByText('The strongest direction of each').waitFor({ timeout: 60_000 });
  const { W, one, other, full } = await node;

  const [delta, fullDelta] = [await matrixOf(LORA), await matrixOf(FULL)];
  expect(apart(delta, one.delta)).toBeLessThan(1e-3);
  expect(apart(fullDelta, full)).toBeLessThan(0.02); // Adam's first steps make much of the smallest gradients

  // Σ σ² = ‖ΔW‖², Σ σ⁴ = ‖ΔWᵀΔW‖², and after r there is nothing but rounding; of all weights there is.
  const [, ...spectrum] = await tableOf(page, 'Singular values of ΔW');
  for (const [column, M] of [[1, delta], [2, fullDelta]] as const) {
    const values = spectrum.map((row) => Number(row[column]));
    expect(values).toHaveLength(192);
    expect(Math.hypot(...values) / linalg.frobenius(M)).toBeCloseTo(1, 5);
    const square = linalg.frobenius(linalg.times(linalg.turned(M), M));
    expect(Math.hypot(...values.map((s) => s * s)) / square).toBeCloseTo(1, 5);
    const [first, last, next] = [values[0], values[2], values[3]];
    expect(last / first).toBeGreaterThan(1e-3);
    if (column === 1) expect(next / first).toBeLessThan(1e-14);
    else expect(next / first).toBeGreaterThan(0.01);
  } // prettier-ignore
  await page.getByText(/^LoRA: 3 directions and no more, .* All weights: 192 directions/).waitFor();

  // Table 7: with P = ΔW ΔW⁺ on either side, ‖UᵀWV‖ = ‖P W P′‖.
  const [, ...lines] = await tableOf(page, 'How much LoRA amplifies');
  const table = new Map(lines.map(([name, ...values]) => [name, values.map(Number)]));
  const near = (name: string, i: number, value: number): void =>
    expect(table.get(name)![i] / value).toBeCloseTo(1, 2);
  for (const [i, { delta: change, A }] of [one, other].entries()) {
    const { U, V } = linalg.svd(change);
    const [u, v] = [linalg.firstColumns(U, A.rows), linalg.firstColumns(V, A.rows)];
    const along = linalg.frobenius(linalg.times(linalg.turned(u), linalg.times(W, v)));
    near('‖W‖', i, linalg.frobenius(W));
    near('‖ΔW‖', i, linalg.frobenius(change));
    near('W along the directions of ΔW', i, along);
    near('Amplification: ‖ΔW‖ over W along ΔW’s directions', i, linalg.frobenius(change) / along);
    near('W along its own strongest directions', i, Math.hypot(...linalg.singularValues(W).slice(0, A.rows)));
    near('the same, by the formula r‖W‖/√(d k)', i, (A.rows * linalg.frobenius(W)) / 192);
  }

  // Equation 4, of A and of ΔW, beside max(i, j)/k.
  for (const [choice, of] of [['A', one.A, other.A], ['delta', one.delta, other.delta]].map(([c, a, b]) => [c as string, [a as Matrix, b as Matrix]] as const)) {
    await page.getByLabel('Directions of').selectOption(choice);
    const [measured, random] = [await matrixOf('φ(i, j)'), await matrixOf('φ(i, j) of random matrices')];
    expect([measured.rows, measured.columns]).toEqual([3, 5]);
    const [V, Vo] = of.map((m) => linalg.svd(m).V);
    for (let i = 0; i < 3; i++)
      for (let j = 0; j < 5; j++) {
        expect(linalg.at(random, i, j)).toBeCloseTo(Math.max(i + 1, j + 1) / 192, 6);
        const expected = phi(linalg.firstColumns(V, i + 1), linalg.firstColumns(Vo, j + 1));
        expect(Math.abs(linalg.at(measured, i, j) - expected), `φ(${i + 1}, ${j + 1})`).toBeLessThan(2e-3);
      }
  } // prettier-ignore
  await page.getByRole('img', { name: /^φ\(i, j\) \[3, 5\]/ }).focus();
  await page.keyboard.press('ArrowRight');
  await page.getByText(/^φ\(1, 2\) = 0\.\d+$/).waitFor();

  await lab.button('Look at all matrices').click();
  const [, ...all] = await tableOf(page, 'All matrices');
  expect(all.map(([path]) => path)).toEqual([0, 1, 2, 3].map((i) => `transformer.h.${i}.attn.c_attn.v`));
  expect(Number(all[1][2]) / linalg.frobenius(one.delta)).toBeCloseTo(1, 3);

  // LoRA learns on: what was compared was another adapter's.
  await page.getByRole('link', { name: 'Training' }).click();
  await lab.button('One step').click();
  await page.getByText(`${STEPS + 1} steps made`).waitFor();
  await page.getByRole('link', { name: 'What was learned' }).click();
  await page.getByRole('img', { name: `${LORA} [192, 192]` }).waitFor();
  await expect.poll(async () => page.getByText('The strongest direction of each').count()).toBe(0);
}); // prettier-ignore

it('offers to train where nothing is learned yet', { timeout: 120_000 }, async () => {
  const page = await lab.open('?device=wasm#/learned?r=2&targets=q&batch=1&context=8');
  await lab.button('Train 20 steps now').click();
  for (const name of [LORA, FULL])
    await page.getByRole('img', { name: `${name} [192, 192]` }).waitFor({ timeout: 60_000 });
  await page.getByText(/^LoRA: 2 directions and no more/).waitFor();
});

it('another adapter needs another seed, and can be stopped', { timeout: 120_000 }, async () => {
  const page = await lab.open('?device=wasm#/training?r=2&targets=q&batch=1&context=8&otherR=2&otherSeed=1');
  await page.getByLabel('Train all weights beside it').uncheck();
  await page.getByLabel('Steps', { exact: true }).fill('150');
  await lab.button('Train').click();
  await lab.said('Training: done.');
  await page.getByRole('link', { name: 'What was learned' }).click();
  await page.getByRole('img', { name: `${LORA} [192, 192]` }).waitFor();
  expect(await page.getByRole('img', { name: FULL }).count()).toBe(0);
  const other = lab.button('Train the other adapter');
  await page.getByText('Choose another seed than 1').waitFor();
  expect(await other.isDisabled()).toBe(true);
  await page.getByLabel('Its random seed').fill('2');
  await other.click();
  await page.getByRole('progressbar').waitFor();
  await lab.button('Stop').click();
  await lab.said('Training the other adapter: stopped.');
  expect(await page.getByText('The strongest direction of each').count()).toBe(0);
  await other.click();
  await page.getByText('The strongest direction of each').waitFor({ timeout: 60_000 });
});
