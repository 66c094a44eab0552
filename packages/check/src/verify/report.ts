/** What came of verifying an adapter: plain data, for people, for machines, for CI. */

/** One law, and what came of it. */
export interface Verdict {
  readonly name: string;
  /** What must hold, in words. */
  readonly says: string;
  readonly state: 'held' | 'broken' | 'not tried';
  /** What was found; of a law that is broken, what came instead; of one that was not tried, why. */
  readonly message: string;
  /** On how many inputs it was tried. */
  readonly cases: number;
  readonly ms: number;
}

/** What an adapter does to one layer. */
export interface LayerFacts {
  /** The layer's path, with the slice's name behind it if there is one. */
  readonly path: string;
  /** Of W, [out, in]. */
  readonly out: number;
  readonly in: number;
  readonly r: number;
  /** s of s B A. */
  readonly scale: number;
  /** Of B A: its singular values above what rounding to f32 makes of a zero. */
  readonly rank: number;
  /** Of the r directions, those that add nothing: a row of A or a column of B is zero. */
  readonly dead: number;
  /** ‖s B A‖ / ‖W‖, Frobenius norms. */
  readonly change: number;
}

export interface VerifyReport {
  readonly base: string;
  readonly adapter: string;
  readonly seed: number;
  /** Random inputs for each law beside the first. */
  readonly cases: number;
  /** Whether every law holds. */
  readonly ok: boolean;
  readonly laws: readonly Verdict[];
  readonly layers: readonly LayerFacts[];
  readonly warnings: readonly string[];
}

/** A stranger's text on one line of a terminal: what is no letter there is spelled out. */
export const plain = (text: string): string =>
  text.replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`);

const indented = (text: string, by: number): string =>
  text.split('\n').map((line) => ' '.repeat(by) + plain(line)).join('\n'); // prettier-ignore

const MARKS = { held: 'ok', broken: 'FAIL', 'not tried': '--' } as const;

/** A page for people. */
export function showReport({ base, adapter, laws, layers, warnings }: VerifyReport): string {
  const width = Math.max(...laws.map(({ name }) => name.length));
  const lines = laws.map(({ name, says, state, message, cases }) => {
    const line = `  ${MARKS[state].padEnd(6)}${name.padEnd(width)}  `;
    if (state === 'broken') return `${line}${says}\n${indented(message, 8)}`;
    return line + plain(message) + (cases > 1 ? ` (${cases} inputs)` : '');
  });
  const count = (state: Verdict['state']): number => laws.filter((law) => law.state === state).length;
  const [broken, left] = [count('broken'), count('not tried')];
  const held = count('held');
  const total = `${held} ${held === 1 ? 'law holds' : 'laws hold'}${broken > 0 ? `, ${broken} ${broken === 1 ? 'does' : 'do'} not` : ''}${left > 0 ? `, ${left} ${left === 1 ? 'was' : 'were'} not tried` : ''}.`; // prettier-ignore
  return [
    `base     ${plain(base)}`,
    `adapter  ${plain(adapter)}`,
    '',
    ...lines,
    ...(layers.length > 0 ? ['', table(layers)] : []),
    ...(warnings.length > 0 ? ['', ...warnings.map((text) => `  note: ${plain(text)}`)] : []),
    '',
    total,
  ].join('\n');
}

const MOST_LAYERS = 40;

function table(layers: readonly LayerFacts[]): string {
  const shown = layers.slice(0, MOST_LAYERS);
  const rows = [
    ['layer', 'W', 'r', 'scale', 'rank of B A', 'dead', '‖s B A‖/‖W‖'],
    ...shown.map((l) => [
      plain(l.path), `[${l.out}, ${l.in}]`, String(l.r), String(+l.scale.toPrecision(4)), String(l.rank), String(l.dead), l.change.toPrecision(3),
    ]),
  ]; // prettier-ignore
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  const lines = rows.map((row) =>
    `  ${row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ')}`.trimEnd(),
  );
  const more = layers.length - shown.length;
  return [...lines, ...(more > 0 ? [`  … and ${more} more`] : [])].join('\n');
}
