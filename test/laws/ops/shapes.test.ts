/** Law 1: what an op says of itself is so. Law 7: an op without a domain is a red test. */
import { ops } from '@bax/core';
import { describe, expect, test } from 'vitest';
import { onEveryBackend } from '../../support/backends.ts';
import { everyOp, byName, holds } from '../../support/calls.ts';

const laws = byName('shape rule', 'tape');

test('no two ops share a name', async () => {
  const { elementwiseOps, reduceOps, viewOps } = await import('@bax/core');
  const lists = [...elementwiseOps, ...reduceOps, ...viewOps];
  expect(new Set(lists.map((op) => op.name)).size).toBe(lists.length);
  for (const op of lists) expect(ops.get(op.name)).toBe(op);
});

describe.each(everyOp)('%s', (_, op) => {
  test('is a view, a backend call or a composition, and is discrete or can be differentiated', () => {
    expect(['view', 'run', 'compose'].filter((kind) => kind in op)).toHaveLength(1);
    expect(op.discrete || 'vjp' in op || 'compose' in op).toBe(true);
    if (Array.isArray(op.vjp)) expect(op.vjp.length).toBeGreaterThan(0);
  });
});

onEveryBackend((on) => {
  describe.each(on.ops(everyOp))('%s', (_, op) => {
    test.each(laws)('%s', async (_name, law) => holds(law, op, on));
  });
});
