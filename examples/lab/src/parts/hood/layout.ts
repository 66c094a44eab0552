/** Calls in layers: each below all that it reads. */

export interface Linked {
  /** Places, in the same list, of those that it reads; others are not drawn. */
  readonly from: readonly number[];
}
export interface Place {
  readonly row: number;
  /** From the middle; halves occur. */
  readonly column: number;
}
export interface Layers {
  readonly places: readonly Place[];
  readonly rows: number;
  readonly columns: number;
}

/** @param all in an order in which nothing reads what follows it. */
export function layered(all: readonly Linked[]): Layers {
  const rows: number[] = [];
  for (const { from } of all) rows.push(Math.max(0, ...from.map((i) => rows[i] + 1)));
  const inRow = (row: number): number[] => rows.flatMap((r, i) => (r === row ? [i] : []));
  const places = rows.map((row, i) => {
    const beside = inRow(row);
    return { row, column: beside.indexOf(i) - (beside.length - 1) / 2 };
  });
  const count = Math.max(0, ...rows.map((row) => row + 1));
  return { places, rows: count, columns: Math.max(1, ...rows.map((row) => inRow(row).length)) };
}
