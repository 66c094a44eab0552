/** Reads a command line by a table of flags: a line of --help each, numbers checked against their range. */
import { parseArgs } from 'node:util';
import { BaxError } from 'bax';

export interface Flag {
  /** The default; '' is none. */
  readonly value: string;
  readonly help: string;
  /** How --help shows the default. */
  readonly shown?: string;
  /** A number's least and greatest value. */
  readonly range?: readonly [min: number, max: number];
  readonly whole?: boolean;
}

export interface Command<F extends string> {
  /** How it is called: `npm start`. */
  readonly name: string;
  readonly flags: Readonly<Record<F, Flag>>;
}

export interface Values<F extends string> {
  readonly given: (name: F) => boolean;
  readonly text: (name: F) => string;
  readonly number: (name: F) => number;
}

/** A line for each flag. */
export function flagLines({ flags }: Command<string>): string[] {
  const lines = Object.entries(flags).map(
    ([name, { value, help, shown = value }]) =>
      `  --${name.padEnd(8)} ${help}${value === '' ? '' : ` (default: ${shown})`}`,
  );
  return [...lines, '  --help     this page'];
}

/** The values of a command line; undefined if help was asked for. @throws on an unknown, empty or impossible one. */
export function readFlags<F extends string>(
  { name: command, flags }: Command<F>,
  argv: readonly string[],
): Values<F> | undefined {
  let values: Record<string, string | boolean | undefined>;
  try {
    const options = Object.fromEntries(Object.keys(flags).map((name) => [name, { type: 'string' as const }]));
    ({ values } = parseArgs({
      args: [...argv],
      options: { ...options, help: { type: 'boolean', short: 'h' } },
    }));
  } catch (error) {
    throw new BaxError(`${(error as Error).message.split(/\.\s/)[0]}; see ${command} -- --help`);
  }
  if (values['help']) return undefined;
  const text = (name: F): string => {
    if (values[name] === '') throw new BaxError(`--${name} is empty; see ${command} -- --help`);
    return (values[name] as string | undefined) ?? flags[name].value;
  };
  const number = (name: F): number => {
    const { range: [min, max] = [-Infinity, Infinity], whole } = flags[name];
    const value = Number(text(name));
    const blank = text(name).trim() === ''; // which Number takes for 0
    if (blank || !(value >= min && value <= max) || (whole && !Number.isInteger(value)))
      throw new BaxError(
        `--${name} ${text(name)}: must be ${whole ? 'a whole number' : 'a number'} from ${min === Number.MIN_VALUE ? 'above 0' : min} to ${max}`,
      );
    return value;
  };
  return { given: (name) => values[name] !== undefined, text, number };
}
