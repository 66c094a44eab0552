/** Indices that the device made: the host can neither check nor sort them. */
import { expr, gather, scatterAdd, setBackend, tensor, type Tensor } from '@bax/core';
import { afterEach, describe, expect, it } from 'vitest';
import type { WebGpuBackend } from '@bax/webgpu';
import { gpuCases } from '../support/fused.ts';

const plusOne = expr.scalarFn('i32', 1, 0, [expr.add(expr.input(0), 1)]);
let backend: WebGpuBackend;
/** i32 values that only the device knows. */
function made(values: readonly number[]): Tensor {
  const t = tensor(values.map((v) => v - 1), { dtype: 'i32', backend }); // prettier-ignore
  backend.map(plusOne, [t.view], [t.view], []);
  expect(t.peek()).toBeUndefined();
  return t;
}
describe.each(gpuCases)('on $name', (device) => {
  afterEach(() => backend.close());
  const open = async (): Promise<void> => setBackend((backend = (await device.make()) as WebGpuBackend));

  it('are followed', async () => {
    await open();
    const table = tensor([[1, 2], [3, 4], [5, 6]]); // prettier-ignore
    expect([...(await gather(table, made([2, 0, 2])).data())]).toEqual([5, 6, 1, 2, 5, 6]);
    const rows = tensor([[1, 10], [2, 20], [4, 40]]); // prettier-ignore
    expect([...(await scatterAdd(3, made([2, 0, 2]), rows).data())]).toEqual([2, 20, 0, 0, 5, 50]);
  });

  it('that lie outside of the table reject the next read, and only that', async () => {
    await open();
    const table = tensor([[1, 2], [3, 4], [5, 6]]); // prettier-ignore
    for (const bad of [3, -1]) {
      const y = gather(table, made([0, bad, 1]));
      await expect(y.data()).rejects.toThrow(
        `gather: index ${bad} at position 1 is outside the table's 3 rows`,
      );
      expect([...(await table.data())]).toEqual([1, 2, 3, 4, 5, 6]);
      const sums = scatterAdd(3, made([0, bad, 1]), table);
      await expect(sums.data()).rejects.toThrow(`scatterAdd: index ${bad} at position 1 is outside the table's 3 rows`); // prettier-ignore
      expect([...(await gather(table, made([1])).data())]).toEqual([3, 4]);
    }
  });

  it('are added in their order', async () => {
    await open();
    const big = 2 ** 24;
    const rows = tensor([[big], [1], [-big], [3]]); // in this order the 1 is lost
    expect([...(await scatterAdd(1, made([0, 0, 0, 0]), rows).data())]).toEqual([3]);
  });
});
