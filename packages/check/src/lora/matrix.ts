/** Matrices on the host in f64: the oracle that shares no code with any backend. Row-major. */

export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float64Array;
}

export const matrix = (
  rows: number,
  columns: number,
  values: ArrayLike<number> | ((i: number, j: number) => number),
): Matrix => ({
  rows,
  columns,
  data:
    typeof values === 'function'
      ? Float64Array.from({ length: rows * columns }, (_, at) =>
          values(Math.floor(at / columns), at % columns),
        )
      : Float64Array.from(values),
});
export const at = (m: Matrix, i: number, j: number): number => m.data[i * m.columns + j]!;

export function times(a: Matrix, b: Matrix): Matrix {
  if (a.columns !== b.rows) throw new Error(`times: ${a.rows}x${a.columns} by ${b.rows}x${b.columns}`);
  return matrix(a.rows, b.columns, (i, j) => {
    let sum = 0;
    for (let l = 0; l < a.columns; l++) sum += at(a, i, l) * at(b, l, j);
    return sum;
  });
}
export const turned = (m: Matrix): Matrix => matrix(m.columns, m.rows, (i, j) => at(m, j, i));
export const plus = (a: Matrix, b: Matrix): Matrix => matrix(a.rows, a.columns, a.data.map((x, i) => x + b.data[i]!)); // prettier-ignore
export const scaled = (m: Matrix, s: number): Matrix => matrix(m.rows, m.columns, m.data.map((x) => s * x)); // prettier-ignore
export const absolute = (m: Matrix): Matrix => matrix(m.rows, m.columns, m.data.map(Math.abs)); // prettier-ignore
/** Rows `start` to `start + length`. */
export const rowsOf = (m: Matrix, start: number, length: number): Matrix =>
  matrix(length, m.columns, m.data.subarray(start * m.columns, (start + length) * m.columns));
/** ⟨a, b⟩ = Σ a ∘ b. */
export const inner = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};
