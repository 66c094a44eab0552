import { countGpt2Lora, countLora, gpt2Config, judge, type LoraConfig, paperCounts } from '@bax/nn';
import { expect, it, test } from 'vitest';
import { failure } from '../files/support.ts';

test('countLora: 2 · L̂ · d · r of square matrices, Σ r (in + out) of others, and their bytes', () => {
  const { matrices, parameters, bytes, optimizerBytes } = countLora({ layers: 12, width: 768, matrices: ['q', 'v'], r: 8 }); // prettier-ignore
  expect([matrices, parameters, bytes, optimizerBytes]).toEqual([24, 294_912, 1_179_648, 2_359_296]);
  // GPT-2 small's c_attn: 12 · 8 · (768 + 2304); BERT base q, v of r = 16, and flan-t5-small's 48 layers [384, 512]: PEFT's own counts
  const shapes = (layers: number, r: number, ...matrices: { in: number; out: number }[]): number =>
    countLora({ layers, width: 1, matrices, r }).parameters;
  expect(shapes(12, 8, { in: 768, out: 2304 })).toBe(294_912);
  expect(shapes(12, 16, { in: 768, out: 768 }, { in: 768, out: 768 })).toBe(589_824);
  expect(shapes(48, 8, { in: 512, out: 384 })).toBe(344_064);
  const half = countLora({ layers: 96, width: 12288, matrices: ['q', 'v'], r: 4 }, { storage: 'f16', states: 0 }); // prettier-ignore
  expect([half.bytes, half.optimizerBytes]).toEqual([37_748_736, 0]);
  expect(String(half)).toBe('192 matrices, 18874368 parameters: 37748736 bytes, and 0 of optimiser state');
});

test('countGpt2Lora: of a model of any size, without its memory', () => {
  const huge = gpt2Config({ n_layer: 96, n_embd: 12288, n_head: 96, n_positions: 2048 });
  expect(countGpt2Lora(huge, { r: 4, targets: ['q', 'v'] }).parameters).toBe(18_874_368);
});

it('what cannot be counted is refused', async () => {
  const good = { layers: 2, width: 8, matrices: ['q'], r: 2 };
  expect(await failure(() => countLora({ ...good, layers: 0 }))).toBe(
    'countLora: layers is 0; it must be an integer from 1',
  );
  expect(await failure(() => countLora({ ...good, r: 1.5 }))).toMatch(/^countLora: r is 1.5;/);
  expect(await failure(() => countLora({ ...good, r: 9 }))).toBe(
    'countLora: r = 9 exceeds min(in, out) of matrix 0 [8, 8]',
  );
  expect(await failure(() => countLora({ ...good, matrices: [] }))).toMatch(/name at least one matrix/);
  expect(await failure(() => countLora({ ...good, matrices: [{ in: 4, out: -1 }] }))).toMatch(/^countLora: out of matrix 0 is -1;/); // prettier-ignore
  expect(await failure(() => countGpt2Lora(gpt2Config({}), { targets: ['q_proj'] }))).toMatch(/^planLora: no module matches 'q_proj'/); // prettier-ignore
});

test('judge: to the digits that are printed', () => {
  const of = (computed: number, text: string): string => judge(computed, { text, where: '' }).agrees;
  expect([of(4_650_000, '4.7M'), of(4_749_999, '4.7M'), of(4_750_000, '4.7M'), of(4_799_999, '4.7M')]).toEqual(['rounded', 'rounded', 'truncated', 'truncated']); // prettier-ignore
  expect([of(4_800_000, '4.7M'), of(4_649_999, '4.7M')]).toEqual(['differs', 'differs']);
  expect([of(350.5e9, '350 GB'), of(1.05e12, '1.2 TB'), of(10_000, '10,000x'), of(9285, '10,000x')]).toEqual(['truncated', 'differs', 'rounded', 'differs']); // prettier-ignore
  expect(judge(100, { text: '110', where: '' }).off).toBeCloseTo(0.1, 15);
});
it('judge refuses what is no number', async () => {
  expect(await failure(() => judge(1, { text: 'about 3', where: '' }))).toBe(
    "judge: 'about 3' is no printed number",
  );
});

test('the table of paperCounts', () => {
  const lines = String(paperCounts).split('\n');
  expect(lines).toHaveLength(paperCounts.rows.length);
  expect(lines[4]).toBe(
    'LoRA         GPT-2 M        q, v        r = 4            393,216  0.35M in Table 3 (differs by −11.0 %); the released checkpoint has 1.5 MB, which is 393,216 numbers in f32',
  );
});

test('countGpt2Lora: bytes are of all tensors, and the state is of those that are trained alone', () => {
  const model = gpt2Config({ n_layer: 3, n_embd: 8, n_head: 2, n_positions: 4, vocab_size: 5 });
  const [A, B] = [3 * 2 * 8, 3 * 2 * 32];
  const of = (lora: LoraConfig): number[] => {
    const count = countGpt2Lora(model, { r: 2, targets: ['c_fc'], ...lora }, { storage: 'f16' });
    return [count.parameters, count.bytes, count.optimizerBytes];
  };
  expect(of({})).toEqual([A + B, 2 * (A + B), 4 * (A + B)]);
  expect(of({ freezeA: true })).toEqual([B, 2 * (A + B), 4 * B]);
  expect(of({ init: 'pissa' })).toEqual([A + B, 4 * (A + B), 4 * (A + B)]);
  expect(of({ dora: true })).toEqual([A + B + 96, 2 * (A + B + 96), 4 * (A + B + 96)]);
});
