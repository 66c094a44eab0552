/** P53: an op cannot tell a view from its contiguous copy, neither forward nor backward. */
import { describe, test } from 'vitest';
import { onEveryBackend } from '../../support/backends.ts';
import { everyOp, byName, holds } from '../../support/calls.ts';

const laws = byName('views', 'views, real numbers');

onEveryBackend((on) => {
  describe.each(on.ops(everyOp))('%s', (_, op) => {
    test.each(laws)('%s', async (_name, law) => holds(law, op, on));
  });
});
