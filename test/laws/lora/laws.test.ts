/** The laws that @bax/check tries on any backend, in Node or in a page, on each of ours. */
import { loraLaws } from '@bax/check';
import { it } from 'vitest';
import { onEveryBackend } from '../../support/backends.ts';
import { lawRuns } from '../../support/runs.ts';

onEveryBackend((on) => {
  it.each(loraLaws)('$name', async ({ run }) => run(on.backend, lawRuns));
});
