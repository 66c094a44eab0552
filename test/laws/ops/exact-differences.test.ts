/** P32: of an op that is linear in each argument, differences with whole steps are the gradient, bit for bit, in plain f32. */
import { ops } from '@bax/core';
import { describe, expect, test } from 'vitest';
import { onEveryBackend } from '../../support/backends.ts';
import { holds, opLaw } from '../../support/calls.ts';

const linear =
  `add sub mul neg where castF64 copy sum reshape permute expand slice concat pad matmul linear gather scatterAdd`.split(
    ' ',
  );
const differences = opLaw('exact differences');

test('every op named here exists', () => {
  for (const name of linear) expect(ops.has(name), name).toBe(true);
});

onEveryBackend((on) => {
  describe.each(on.ops(linear.map((name): [string, string] => [name, name])))('%s', (name) => {
    test(differences.says, async () => holds(differences, ops.get(name)!, on));
  });
});
