import { defineConfig } from 'vitest/config';

// Tests run from source, without a build: workspace packages resolve by their `source` export condition.
const conditions = ['source'];

// oxlint-disable-next-line import/no-default-export -- vitest asks for one
export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    isolate: false,
    maxWorkers: 2,
    testTimeout: 60_000,
    coverage: { provider: 'v8', include: ['packages/*/src/**/*.ts'] },
  },
});
