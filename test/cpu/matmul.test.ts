import { cpu } from '@bax/cpu';
import { expect, it } from 'vitest';
import { make, reals, valuesOf } from './support.ts';

it.each([
  [5, 3, 7],
  [17, 300, 9],
  [1, 5000, 2],
  [40, 129, 40],
])('matmul %i x %i x %i sums in f64: f32 rounds the product, and what it is added to', (m, k, n) => {
  const backend = cpu();
  const [a, b] = [make(backend, [m, k], 'f32', reals(1)), make(backend, [k, n], 'f32', reals(2))];
  const [once, added] = [make(backend, [m, n], 'f32', reals(3)), make(backend, [m, n], 'f32', reals(3))];
  const [x, y, before] = [a, b, added].map((view) => valuesOf(backend, view));
  backend.matmul(a, b, once);
  backend.matmul(a, b, added, { accumulate: true, scale: 0.3 });
  const results = [once, added].map((view) => valuesOf(backend, view));
  for (let i = 0; i < m * n; i++) {
    const [row, column] = [Math.floor(i / n), i % n];
    let [exact, size] = [0, 0];
    for (let h = 0; h < k; h++) {
      const term = x[row * k + h] * y[h * n + column];
      exact += term;
      size += Math.abs(term);
    }
    const u64 = 2 * (k + 4) * 2 ** -53;
    expect(Math.abs(results[0][i] - exact)).toBeLessThanOrEqual(Math.abs(exact) * 2 ** -24 + u64 * size);
    const sum = before[i] + 0.3 * exact;
    const rounded = (Math.abs(0.3 * exact) + Math.abs(sum)) * 2 ** -24 * (1 + 2 ** -23);
    const bound = rounded + u64 * (size + Math.abs(before[i]));
    expect(Math.abs(results[1][i] - sum)).toBeLessThanOrEqual(bound);
  }
});
