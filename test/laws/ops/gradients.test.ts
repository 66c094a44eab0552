/** Law 2: the gradient rule of every op is the derivative of what the op does; and so is the gradient of that. */
import { describe, test } from 'vitest';
import { f64Cases, onEveryBackend } from '../../support/backends.ts';
import { byName, holds, smoothOps } from '../../support/calls.ts';

const laws = byName('gradient', 'gradient of views', 'second gradient');

onEveryBackend((on) => {
  describe.each(smoothOps)('%s', (_, op) => {
    test.each(laws)('%s', async (_name, law) => holds(law, op, on));
  });
}, f64Cases);
