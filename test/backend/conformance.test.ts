/** P31, P45, P55: what every backend must do, on sizes around each tile, among poison and guards. */
import { conformance, leftOut } from '@bax/check';
import { beforeAll, it } from 'vitest';
import { onEveryBackend } from '../support/backends.ts';
import { lawRuns } from '../support/runs.ts';

onEveryBackend((on) => {
  beforeAll(() => {
    for (const what of leftOut(on.backend)) console.log(`${on.backend.name}: not checked: ${what}`);
  });

  it.each(conformance)('$name', async ({ run }) =>
    run(on.backend, { ...lawRuns, runs: lawRuns.runs * on.share }),
  );
});
