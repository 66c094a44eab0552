import { defineConfig } from 'vitest/config';

// oxlint-disable-next-line import/no-default-export -- vitest asks for one
export default defineConfig({ test: { include: ['test/**/*.test.ts'], testTimeout: 60_000 } });
