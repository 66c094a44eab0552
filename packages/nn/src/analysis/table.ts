/** Columns as wide as their widest cell, the last as long as it is; those in `right` end together. */
export function table(rows: readonly (readonly string[])[], right: readonly number[] = []): string {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => (right.includes(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** In powers of ten, as the paper and disks count: `350.5 GB`. */
export function showBytes(bytes: number): string {
  const power = bytes < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(Number(bytes.toPrecision(4))) / 3));
  return `${power === 0 ? bytes : (bytes / 1000 ** power).toPrecision(4)} ${['B', 'kB', 'MB', 'GB', 'TB'][power]}`;
}
