/**
 * P31, P53: no op can tell what is held in f16 or bf16 from its wide copy, neither forward nor in the gradients of its other
 * inputs: bits where only sums and products are taken, within f32's rounding otherwise.
 */
import { describe, test } from 'vitest';
import { onEveryBackend } from '../../support/backends.ts';
import { everyOp, holds, opLaw } from '../../support/calls.ts';

const storage = opLaw('storage');

onEveryBackend((on) => {
  describe.each(on.ops(everyOp))('%s', (_, op) => {
    test(storage.says, async () => holds(storage, op, on));
  });
});
