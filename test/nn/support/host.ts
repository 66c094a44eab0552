/** Matrices on the host in f64, an oracle that shares no code with any backend, and exact ranks. */
import type { Matrix } from '@bax/nn';

export * from '../../../packages/nn/src/linalg/index.ts';

/** The rank of an integer matrix, exactly: elimination without fractions. Bareiss 1968, https://doi.org/10.2307/2004533 */
export function exactRank(rows: readonly (readonly bigint[])[]): number {
  const m = rows.map((row) => [...row]);
  const columns = m[0]?.length ?? 0;
  let [rank, previous] = [0, 1n];
  for (let j = 0; j < columns && rank < m.length; j++) {
    const pivot = m.findIndex((row, i) => i >= rank && row[j] !== 0n);
    if (pivot === -1) continue;
    [m[rank], m[pivot]] = [m[pivot]!, m[rank]!];
    for (let i = rank + 1; i < m.length; i++)
      for (let l = columns - 1; l >= j; l--)
        m[i]![l] = (m[i]![l]! * m[rank]![j]! - m[i]![j]! * m[rank]![l]!) / previous;
    previous = m[rank]![j]!;
    rank++;
  }
  return rank;
}
/** Values that are multiples of 2^-20, as integers. @throws if one is not. */
export const bigRows = ({ rows, columns, data }: Matrix): bigint[][] =>
  Array.from({ length: rows }, (_, i) =>
    Array.from(data.subarray(i * columns, (i + 1) * columns), (x) => BigInt(x * 2 ** 20)),
  );
