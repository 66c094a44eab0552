// oxlint-disable-next-line import/no-default-export -- vitest asks for one
export default { test: { include: ['*.test.js'], testTimeout: 60_000 } };
