import type { Row } from './table.ts';

/** What the command line says. */
export interface Options {
  readonly rounds: number;
  /** Small sizes: shows that everything runs, measures nothing worth keeping. */
  readonly quick: boolean;
}

/** A step is warmed up and measured for so many milliseconds at least: short ones are repeated. */
export const leastMs = (quick: boolean): number => (quick ? 50 : 1000);

export type Suite = (options: Options) => Promise<Row[]>;

/** Progress goes to stderr: stdout has the table alone. */
export const say = (line: string): void => void process.stderr.write(`${line}\n`);
