/** The one table of a run: aligned Markdown, so that the terminal and the results file show the same. */
import { median, ratios, type Result } from './rounds.ts';

export interface Row {
  readonly case: string;
  readonly who: string;
  readonly value: string;
  /** The worst and the best round. */
  readonly range?: string;
  readonly ratio?: string;
  readonly note?: string;
}

const HEAD: Required<Row> = {
  case: 'case',
  who: 'who',
  value: 'median',
  range: 'worst – best',
  ratio: 'ratio (worst – best round)',
  note: 'note',
};
const COLUMNS = Object.keys(HEAD) as (keyof Row)[];

/** The name of a case is written in its first row only. */
export function showTable(rows: readonly Row[]): string {
  const lines = [
    HEAD,
    ...rows.map((row, i) => ({ ...row, case: row.case === rows[i - 1]?.case ? '' : row.case })),
  ];
  const cells = lines.map((line) => COLUMNS.map((column) => line[column] ?? ''));
  const widths = COLUMNS.map((_, i) => Math.max(...cells.map((line) => line[i]!.length)));
  const text = cells.map((line) => `| ${line.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`);
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`;
  return [text[0], rule, ...text.slice(1)].join('\n');
}

/** Three significant digits, without an exponent. */
export function digits(x: number): string {
  if (x === 0 || !Number.isFinite(x)) return String(x);
  const places = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(x))));
  return x.toFixed(Math.min(places, 6));
}

/** The median of some ratios with the lowest and the highest. */
export const showRatio = (all: readonly number[], sign = '×'): string =>
  all.length === 0
    ? ''
    : all.length === 1
      ? `${digits(all[0]!)}${sign} (one round)`
      : `${digits(median(all))}${sign} (${digits(Math.min(...all))} – ${digits(Math.max(...all))})`;

/** How a time is shown. */
export interface Measure {
  readonly unit: string;
  readonly of: (ms: number) => number;
  /** The same in another unit, behind the median alone. */
  readonly also?: (ms: number) => string;
}

/**
 * A race as rows. The ratio column says how many times as fast as the row's contender those are that `compared` names
 * for it.
 */
export function raceRows(
  name: string,
  results: readonly Result[],
  compared: (who: string) => readonly string[],
  measure: Measure,
): Row[] {
  return results.map((result) => ({
    case: name,
    who: result.name,
    ...showTimes(result.ms, measure),
    ratio: results
      .filter((one) => one !== result && one.ms.length > 0 && compared(result.name).includes(one.name))
      .filter(() => result.ms.length > 0)
      .map((one) => `${one.name} ${showRatio(ratios(result, one))}`)
      .join(', '),
    note: result.note,
  }));
}

/** The median and the range of some times. */
export function showTimes(ms: readonly number[], { unit, of, also }: Measure): Pick<Row, 'value' | 'range'> {
  if (ms.length === 0) return { value: '–' };
  const middle = median(ms);
  const value = `${digits(of(middle))} ${unit}${also ? `, ${also(middle)}` : ''}`;
  return ms.length === 1 ? { value } : { value, range: [Math.max(...ms), Math.min(...ms)].map((x) => digits(of(x))).join(' – ') }; // prettier-ignore
}
