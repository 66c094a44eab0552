/** The numbers of a picture, to take away. */
import type { JSX } from 'preact';
import { words } from '../words/index.ts';

export type Table = readonly (readonly (string | number)[])[];

/** Without it Excel takes UTF-8 for what its country wrote before. */
const BYTE_ORDER_MARK = '\ufeff';
/** RFC 4180. */
export const csv = (table: Table): string =>
  BYTE_ORDER_MARK +
  table
    .map((row) =>
      row
        .map((cell) => (/[",\r\n]/.test(String(cell)) ? `"${String(cell).replaceAll('"', '""')}"` : cell))
        .join(','),
    )
    .join('\r\n');

export function download(name: string, content: BlobPart, type: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** `name`: of the file, and for those who hear the button. */
export function CsvButton({
  name,
  table,
}: {
  readonly name: string;
  readonly table: () => Table;
}): JSX.Element {
  return (
    <button
      type="button"
      class="small"
      aria-label={`${words().numbersCsv}: ${name}`}
      onClick={() => download(`${name}.csv`, csv(table()), 'text/csv')}
    >
      CSV
    </button>
  );
}
