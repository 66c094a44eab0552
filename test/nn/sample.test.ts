import { sampleToken } from '../../packages/nn/src/sample.ts';
import { foldIn, key, uniforms } from '@bax/core';
import { generate } from '@bax/nn';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { failure } from './files/support.ts';
import { runs } from '../support/runs.ts';

/** The probability of each token, by the definitions: temperature, then the k likeliest, then the smallest nucleus of p. */
function distribution(logits: readonly number[], { temperature = 1, topK = Infinity, topP = 1 }): number[] {
  const top = Math.max(...logits);
  const weight = logits.map((z) => Math.exp((z - top) / temperature));
  const rank = logits.map((z, i) => logits.filter((y, j) => y > z || (y === z && j < i)).length);
  const within = (i: number): boolean => rank[i]! < topK;
  const total = weight.reduce((sum, w, i) => sum + (within(i) ? w : 0), 0);
  // A token is in the nucleus if those before it do not yet hold p.
  const before = (i: number): number => weight.reduce((sum, w, j) => sum + (within(j) && rank[j]! < rank[i]! ? w : 0), 0) / total; // prettier-ignore
  const kept = logits.map((_, i) => within(i) && before(i) < topP);
  const share = weight.reduce((sum, w, i) => sum + (kept[i] ? w : 0), 0);
  return weight.map((w, i) => (kept[i] ? w / share : 0));
}

const logits = fc.array(
  fc.integer({ min: -20, max: 20 }).map((k) => k / 4),
  { minLength: 1, maxLength: 9 },
);
const options = fc.record({
  temperature: fc.constantFrom(0.25, 0.5, 1, 2),
  topK: fc.oneof(fc.integer({ min: 1, max: 10 }), fc.constant(undefined)),
  topP: fc.oneof(fc.constantFrom(0.11, 0.37, 0.59, 0.83, 1), fc.constant(undefined)),
});
const defined = <T extends object>(o: T): { [K in keyof T]: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(o).filter(([, v]) => v !== undefined)) as never;

test('a token is drawn by inverting the distribution of temperature, top k and top p at the uniform number of (seed, step)', () => {
  const law = (z: number[], given: object, seed: number, step: number): void => {
    const o = defined(given);
    const p = distribution(z, o);
    const token = sampleToken(z, step, { ...o, seed });
    expect(p[token], 'a token outside of what is kept').toBeGreaterThan(0);
    // Likeliest first: those before the token hold less than u, those up to it more.
    const u = uniforms(foldIn(key(seed), step), 1)[0]!;
    const earlier = (i: number): boolean => z[i]! > z[token]! || (z[i] === z[token] && i < token);
    const below = p.reduce((sum, q, i) => sum + (earlier(i) ? q : 0), 0);
    expect(u).toBeGreaterThanOrEqual(below - 1e-12);
    expect(u).toBeLessThan(below + p[token]! + 1e-12);
  };
  fc.assert(fc.property(logits, options, fc.nat(1000), fc.nat(50), law), runs(2000));
});

test('and over many steps each token comes as often as its probability says', () => {
  const z = [0.3, -1, 2, 1.2, 0, 1.9];
  for (const o of [
    {},
    { temperature: 0.5 },
    { temperature: 2, topK: 4 },
    { topP: 0.7 },
    { topK: 5, topP: 0.8 },
  ]) {
    const n = 20_000;
    const counts = z.map(() => 0);
    for (let step = 0; step < n; step++) counts[sampleToken(z, step, { ...o, seed: 5 })]!++;
    distribution(z, o).forEach((p, i) =>
      expect(Math.abs(counts[i]! - n * p)).toBeLessThanOrEqual(5 * Math.sqrt(n * p * (1 - p)) + 1e-9),
    );
  }
});

describe('the likeliest token', () => {
  it('is taken at temperature 0 and for k = 1; of equals the first', () => {
    const law = (z: number[], seed: number): void => {
      const first = z.indexOf(Math.max(...z));
      expect(sampleToken(z, 0, { temperature: 0, seed })).toBe(first);
      expect(sampleToken(z, 0, { topK: 1, seed })).toBe(first);
      expect(sampleToken(z, 0, { topP: 1e-9, seed })).toBe(first);
      expect(z[sampleToken(z, 0, { temperature: 1e-300, seed })]).toBe(z[first]);
    };
    fc.assert(fc.property(logits, fc.nat(99), law), runs(100));
  });
  it('and no token of −∞ ever', () => {
    for (let step = 0; step < 200; step++)
      expect([1, 3]).toContain(sampleToken([-Infinity, 0, -Infinity, 1], step));
  });
});

test('logits of which there is no softmax are an error, not a token', async () => {
  const why = (step: number): string =>
    `generate: the logits of token ${step} are NaN or infinite; the model's weights are broken`;
  expect(await failure(() => sampleToken([0, NaN, 1], 3))).toBe(why(3));
  expect(await failure(() => sampleToken([NaN], 0, { temperature: 0 }))).toBe(why(0));
  expect(await failure(() => sampleToken([0, Infinity, 1], 0))).toBe(why(0));
  expect(await failure(() => sampleToken([-Infinity, -Infinity], 0))).toBe(why(0));
});

test.each([
  [{ temperature: -1 }, 'generate: temperature is -1; it must be a finite number from 0'],
  [{ temperature: NaN }, 'generate: temperature is NaN; it must be a finite number from 0'],
  [{ temperature: Infinity }, 'generate: temperature is Infinity; it must be a finite number from 0'],
  [{ topK: 0 }, 'generate: topK is 0; it must be an integer from 1'],
  [{ topK: 2.5 }, 'generate: topK is 2.5; it must be an integer from 1'],
  [{ topP: 0 }, 'generate: topP is 0; it must lie in (0, 1]'],
  [{ topP: 1.1 }, 'generate: topP is 1.1; it must lie in (0, 1]'],
  [{ topP: NaN }, 'generate: topP is NaN; it must lie in (0, 1]'],
  [{ seed: -1 }, 'key: the seed must be an integer from 0 to 2^53 - 1, not -1'],
])('%j is refused', async (o, why) => {
  const { tinyGpt2 } = await import('./support/gpt2.ts');
  const { cpu } = await import('@bax/cpu');
  const backend = cpu();
  const model = tinyGpt2({ backend });
  const buffers = backend.memory().buffers;
  expect(await failure(() => generate(model, [1], o).next())).toBe(why);
  expect(backend.memory().buffers).toBe(buffers);
});
