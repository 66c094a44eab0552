/** The laws that @bax/check tries on any backend, in Node or in a page, on each of ours. */
import { loraLaws } from '@bax/check';
import { it } from 'vitest';
import { onEveryBackend } from '../../support/backends.ts';
import { LAW_CASES, lawRuns } from '../../support/runs.ts';

const options = { ...lawRuns, atLeast: LAW_CASES };

onEveryBackend((on) => {
  it.each(loraLaws)('$name', async ({ run }) => run(on.backend, options));
});
