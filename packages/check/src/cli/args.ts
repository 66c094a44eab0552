/** The command line of `bax-check`. */
import { parseArgs } from 'node:util';
import { BaxError } from '@bax/core';

export interface VerifyArgs {
  readonly base: string;
  readonly adapter: string;
  readonly cases: number;
  readonly seed: number;
  /** Milliseconds. */
  readonly timeBudget: number | undefined;
  readonly junit: string | undefined;
  readonly json: boolean;
}

export const HELP = `Proves a LoRA adapter on its base model.

Usage: npx @bax/check verify <base> <adapter> [options]

  <base>     directory of a GPT-2 as transformers stores it: config.json, model.safetensors
  <adapter>  directory of an adapter as PEFT stores it: adapter_config.json, adapter_model.safetensors

  --cases n          random inputs for each law (default: 4)
  --seed n           where they are drawn from; equal seeds give equal inputs (default: 1)
  --time-budget t    draw no more inputs after 90s, 2m or 500ms; each law is tried once at least
  --junit file       write the report as JUnit XML, which CI services read
  --json             print the report as JSON, and nothing else
  --version          the version of this program
  --help             this page

It reads both directories, and writes nothing to them. It exits with 0 if every law holds, with 1 if one does not, and with
2 if it was called wrongly. For example, in CI:

  npx @bax/check verify models/base adapters/mine --time-budget 60s --junit report.xml
`;

const OPTIONS = {
  cases: { type: 'string' },
  seed: { type: 'string' },
  'time-budget': { type: 'string' },
  junit: { type: 'string' },
  json: { type: 'boolean' },
  version: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** What was asked for. @throws BaxError on a command line that means nothing. */
export function readArgs(argv: readonly string[]): VerifyArgs | 'help' | 'version' {
  const { values, positionals } = parsed(argv);
  const [command, base, adapter, ...more] = positionals;
  if (values.help || (command === undefined && Object.keys(values).length === 0)) return 'help';
  if (values.version) return 'version';
  const bad = (message: string): never => {
    throw new BaxError(message);
  };
  if (command !== 'verify') return bad(command === undefined ? 'say what to do: verify <base> <adapter>' : `there is no command '${command}'; there is verify`); // prettier-ignore
  if (base === undefined || adapter === undefined)
    return bad(`verify needs two directories: verify <base> <adapter>; ${base === undefined ? 'none was' : 'one was'} given`); // prettier-ignore
  if (more.length > 0) return bad(`verify takes two directories; '${more[0]}' is one too many`);
  const whole = (name: 'cases' | 'seed', otherwise: number, most: number): number => {
    const text = values[name];
    if (text === undefined) return otherwise;
    const value = Number(text);
    if (!/^\d+$/.test(text) || value > most)
      bad(`--${name} ${text}: must be a whole number from 0 to ${most}`);
    return value;
  };
  if (values.junit === '') bad('--junit is empty; name a file');
  return {
    base,
    adapter,
    cases: whole('cases', 4, 1e6),
    seed: whole('seed', 1, 2 ** 31 - 1),
    timeBudget: values['time-budget'] === undefined ? undefined : milliseconds(values['time-budget']),
    junit: values.junit,
    json: values.json ?? false,
  };
}

function parsed(argv: readonly string[]): ReturnType<typeof parseArgs<{ options: typeof OPTIONS; allowPositionals: true }>> {
  try {
    return parseArgs({ args: withNegatives(argv), options: OPTIONS, allowPositionals: true });
  } catch (error) {
    const [first] = (error as Error).message.split(/\.\s+(?=[A-Z])/);
    throw new BaxError(first!, { cause: error });
  }
} // prettier-ignore

/** A negative number is a value, though it begins as options do: what is given it says what it takes. */
function withNegatives(argv: readonly string[]): string[] {
  const words: string[] = [];
  for (const word of argv) {
    const last = words.at(-1) ?? '';
    if (/^-\d/.test(word) && /^--[\w-]+$/.test(last)) words.splice(-1, 1, `${last}=${word}`);
    else words.push(word);
  }
  return words;
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 };
function milliseconds(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(text);
  if (!match) throw new BaxError(`--time-budget ${text}: must be a time like 90s, 2m or 500ms`);
  return Number(match[1]) * UNITS[match[2]!]!;
}

/** A word of a command line for a POSIX shell, as it has to be typed. */
const quoted = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;

/** The command that does the same again. */
export const commandOf = ({ base, adapter, cases, seed }: VerifyArgs): string =>
  `npx @bax/check verify ${quoted(base)} ${quoted(adapter)} --seed ${seed} --cases ${cases}`;
