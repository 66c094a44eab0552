/** Rule 5: the composition is the definition. A kernel or a gradient rule beside it equals it. */
import { describe, expect, test } from 'vitest';
import { onEveryBackend } from '../../support/backends.ts';
import { everyOp, holds, opLaw } from '../../support/calls.ts';

const composed = everyOp.filter(([, op]) => 'compose' in op);
const both = composed.filter(([, op]) => 'vjp' in op);
const [composition, rule] = [opLaw('composition'), opLaw('gradient rule')];

test('the ops with a rule beside their composition', () => {
  expect(both.map(([name]) => name)).toEqual(
    expect.arrayContaining(['softmax', 'layerNorm', 'attention', 'crossEntropy']),
  );
});

onEveryBackend((on) => {
  describe.each(on.ops(composed))('%s', (_, op) => {
    test(composition.says, async () => holds(composition, op, on));
  });
  describe.each(both)('%s', (_, op) => {
    test(rule.says, async () => holds(rule, op, on));
  });
});
