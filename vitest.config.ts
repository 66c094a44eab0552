import { execFileSync } from 'node:child_process';
import { defineConfig } from 'vitest/config';
import { chooseDriver } from './test/support/gpu/driver.ts';

execFileSync(process.execPath, ['kernels/embed.mjs'], { cwd: import.meta.dirname });
// Before any worker starts: the system reads LD_LIBRARY_PATH when a process begins.
const driver = await chooseDriver();
console.log(`webgpu tests: ${driver.name} (${driver.kind})`);
Object.assign(process.env, driver.env, { BAX_GPU: driver.kind });

// Tests run from source, without a build: workspace packages resolve by their `source` export condition.
const conditions = ['source'];

// oxlint-disable-next-line import/no-default-export -- vitest asks for one
export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/support/close-backends.ts'],
    pool: 'forks',
    isolate: false,
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000, // SwiftShader closes a device only when it has compiled what it began
    coverage: { provider: 'v8', include: ['packages/*/src/**/*.ts'] },
  },
});
