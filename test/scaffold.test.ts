import { expect, test } from 'vitest';

test('workspace packages resolve to their source', async () => {
  expect(import.meta.resolve('@bax/core')).toMatch(/packages\/core\/src\/index\.ts$/);
  await expect(import('@bax/core')).resolves.toBeDefined();
});
