/** Calls in layers: each below all that it reads, and under the middle of them where there is room. */

export interface Linked {
  /** Places, in the same list, of those that it reads. */
  readonly from: readonly number[];
}
export interface Place {
  readonly row: number;
  /** From the middle of the picture. */
  readonly column: number;
}
export interface Layers {
  readonly places: readonly Place[];
  readonly rows: number;
  /** All of them side by side, the middle in the middle. */
  readonly columns: number;
}

/** @param all in an order in which nothing reads what follows it. */
export function layered(all: readonly Linked[]): Layers {
  const rows: number[] = [];
  for (const { from } of all) rows.push(Math.max(0, ...from.map((i) => rows[i] + 1)));
  const columns = all.map(() => 0);
  const count = Math.max(0, ...rows.map((row) => row + 1));
  for (let row = 0; row < count; row++) {
    const own = rows.flatMap((r, i) => (r === row ? [i] : []));
    const wish = new Map(own.map((i) => [i, mean(all[i].from.map((n) => columns[n]))]));
    own.sort((a, b) => wish.get(a)! - wish.get(b)! || a - b);
    own.forEach((i, n) => {
      columns[i] = n === 0 ? wish.get(i)! : Math.max(wish.get(i)!, columns[own[n - 1]] + 1);
    });
    const shift = mean(own.map((i) => columns[i] - wish.get(i)!));
    for (const i of own) columns[i] -= shift;
  }
  return {
    places: rows.map((row, i) => ({ row, column: columns[i] })),
    rows: count,
    columns: 2 * Math.max(0, ...columns.map(Math.abs)) + 1,
  };
}

const mean = (numbers: readonly number[]): number =>
  numbers.reduce((a, b) => a + b, 0) / Math.max(1, numbers.length);
