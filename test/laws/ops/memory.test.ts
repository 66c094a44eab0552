/** Law 6: what an op or a gradient needed on the way is given back. */
import { describe, test } from 'vitest';
import { onEveryBackend } from '../../support/backends.ts';
import { everyOp, byName, holds, opLaw, smoothOps } from '../../support/calls.ts';

const laws = byName('leaks', 'leaks of the result');
const ofGrad = opLaw('leaks of grad');

onEveryBackend((on) => {
  describe.each(on.ops(everyOp))('%s', (_, op) => {
    test.each(laws)('%s', async (_name, law) => holds(law, op, on));
  });
  describe.each(on.ops(smoothOps))('%s', (_, op) => {
    test(ofGrad.says, async () => holds(ofGrad, op, on));
  });
});
