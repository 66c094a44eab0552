/**
 * P31: every backend computes what the cpu does. What sums and products of small numbers give is equal bit for bit
 * in every order, and so are their gradients. Anything else, and real numbers, lie within f32's rounding of the cpu's f64.
 */
import { describe, expect, test } from 'vitest';
import { backendCases, onEveryBackend } from '../../support/backends.ts';
import { everyOp, exactOps, byName, holds } from '../../support/calls.ts';

const laws = byName('backend', 'backend, real numbers');

test('the ops of which bits are demanded exist', () => {
  const names = everyOp.map(([name]) => name);
  expect([...exactOps].filter((name) => !names.includes(name))).toEqual([]);
});

const others = backendCases.filter(({ name }) => name !== 'cpu');
onEveryBackend((on) => {
  describe.each(on.ops(everyOp))('%s', (_, op) => {
    test.each(laws)('%s', async (_name, law) => holds(law, op, on));
  });
}, others);
