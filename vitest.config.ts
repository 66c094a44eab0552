import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { BackendSeconds } from './test/support/backend-seconds.ts';
import { chooseDriver } from './test/support/gpu/driver.ts';

execFileSync(process.execPath, ['kernels/embed.mjs'], { cwd: import.meta.dirname });
// Before any worker starts: the system reads LD_LIBRARY_PATH when a process begins.
const driver = await chooseDriver();
console.log(`webgpu tests: ${driver.name} (${driver.kind})`);
/** Where the examples' pages are built: once for all tests of this run. */
const pages = mkdtempSync(join(tmpdir(), 'bax-pages-'));
process.once('exit', () => rmSync(pages, { recursive: true, force: true }));
Object.assign(process.env, driver.env, { BAX_GPU: driver.kind, BAX_PAGES: pages });

// Tests run from source, without a build: workspace packages resolve by their `source` export condition.
const conditions = ['source'];

/** They take a minute or more: begun first, so that no worker is left alone with one at the end. */
const LONG = ['browser/webgpu', 'examples/main-job', 'backend/conformance', 'packages/packages', 'examples/finetune', 'laws/lora/laws', 'examples/learn'].map((name) => `test/${name}.test.ts`); // prettier-ignore
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number =>
      (LONG.findIndex((name) => moduleId.endsWith(name)) + LONG.length + 1) % (LONG.length + 1);
    return (await super.sort(files)).sort((a, b) => place(a) - place(b));
  }
}

// oxlint-disable-next-line import/no-default-export -- vitest asks for one
export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/support/close-backends.ts'],
    pool: 'forks',
    isolate: false,
    maxWorkers: Math.min(4, Math.max(2, availableParallelism() - 1)), // a worker may take 1.5 GB
    sequence: { sequencer: LongestFirst },
    reporters: ['default', new BackendSeconds()],
    testTimeout: 60_000,
    hookTimeout: 120_000, // SwiftShader closes a device only when it has compiled what it began
    coverage: { provider: 'v8', include: ['packages/*/src/**/*.ts'] },
  },
});
