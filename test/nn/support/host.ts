/** Matrices on the host in f64: the oracle that shares no code with any backend. Row-major. */
import { at, inner, type Matrix, turned } from '../../../packages/check/src/lora/matrix.ts';

export * from '../../../packages/check/src/lora/matrix.ts';

export const norm = (m: Matrix): number => Math.sqrt(inner(m.data, m.data));

/** Singular values, largest first, by one-sided Jacobi rotations: accurate to a few u‖m‖, also where they are tiny. */
export function singularValues(m: Matrix): Float64Array {
  const a = m.rows < m.columns ? turned(m) : m; // at least as many rows as columns
  const columns = Array.from({ length: a.columns }, (_, j) =>
    Float64Array.from({ length: a.rows }, (_x, i) => at(a, i, j)),
  );
  for (let sweep = 0; sweep < 60; sweep++) {
    let rotated = false;
    for (let p = 0; p < columns.length; p++)
      for (let q = p + 1; q < columns.length; q++) {
        const [x, y] = [columns[p]!, columns[q]!];
        const [xx, yy, xy] = [inner(x, x), inner(y, y), inner(x, y)];
        if (Math.abs(xy) <= 2 ** -52 * Math.sqrt(xx * yy) || xy === 0) continue;
        rotated = true;
        const zeta = (yy - xx) / (2 * xy);
        const t = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.hypot(1, zeta));
        const c = 1 / Math.hypot(1, t);
        for (let i = 0; i < x.length; i++) {
          const [u, v] = [x[i]!, y[i]!];
          x[i] = c * (u - t * v);
          y[i] = c * (t * u + v);
        }
      }
    if (!rotated) break;
  }
  return Float64Array.from(columns, (x) => Math.sqrt(inner(x, x))).sort((a, b) => b - a);
}

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
