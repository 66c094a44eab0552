/** P52: no op and no gradient changes what it reads; asking twice gives the same bits. P55, small: neither does other work. */
import { describe, test } from 'vitest';
import { onEveryBackend } from '../../support/backends.ts';
import { everyOp, holds, opLaw, smoothOps } from '../../support/calls.ts';

const [purity, twice] = [opLaw('purity'), opLaw('grad twice')];

onEveryBackend((on) => {
  describe.each(on.ops(everyOp))('%s', (_, op) => {
    test(purity.says, async () => holds(purity, op, on));
  });
  describe.each(on.ops(smoothOps))('%s', (_, op) => {
    test(twice.says, async () => holds(twice, op, on));
  });
});
