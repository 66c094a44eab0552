import { conformance, leftOut } from '@bax/check';
import { beforeAll, it } from 'vitest';
import { onEveryBackend } from '../support/backends.ts';
import { LAW_CASES, lawRuns } from '../support/runs.ts';

const options = { ...lawRuns, atLeast: LAW_CASES };

onEveryBackend((on) => {
  beforeAll(() => {
    for (const what of leftOut(on.backend)) console.log(`${on.backend.name}: not checked: ${what}`);
  });

  it.each(conformance)('$name', async ({ run }) => run(on.backend, options));
});
