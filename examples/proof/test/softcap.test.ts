import { checkOp } from '@bax/check';
import { device } from 'bax';
import { expect, test } from 'vitest';
import { softcap, softcapOp } from '../src/softcap.ts';

test('the op: shape, gradient, gradient of the gradient, views, memory, on two backends', async () => {
  const backends = [await device('cpu'), await device('wasm')];
  const { passed } = await checkOp(softcapOp, { backends, second: true });
  expect(passed.length).toBeGreaterThan(20);
});

test('the function that calls it', async () => {
  const twice = (x: Parameters<typeof softcap>[0]) => softcap(softcap(x, 3), 2);
  await checkOp(twice, { domain: (draw) => [{ shape: draw.shape([1, 3]) }] });
});
