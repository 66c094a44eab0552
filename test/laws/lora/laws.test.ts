/** The laws that @bax/check tries on any backend, in Node or in a page, on each of ours. */
import { loraLaws } from '@bax/check';
import { it } from 'vitest';
import { onEveryBackend } from '../../support/backends.ts';
import { runs } from '../../support/runs.ts';

const { numRuns, seed } = runs(1);

onEveryBackend((on) => {
  it.each(loraLaws)('$name', async ({ run }) => run(on.backend, { runs: numRuns, seed }));
});
