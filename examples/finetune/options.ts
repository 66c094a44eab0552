import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { BaxError, type DeviceName } from 'bax';

export interface Options {
  readonly model: string;
  /** A text file; undefined is Moby-Dick. */
  readonly data: string | undefined;
  readonly out: string;
  readonly device: DeviceName;
  readonly targets: 'all-linear' | readonly string[];
  readonly r: number;
  readonly alpha: number;
  readonly dropout: number;
  readonly steps: number;
  readonly batch: number;
  readonly context: number;
  readonly lr: number;
  readonly seed: number;
  readonly prompt: string;
}

/** The model that comes with the example. */
export const BASE: string = fileURLToPath(new URL('base', import.meta.url));

/** One line of --help each. Numbers are checked against their least and greatest value. */
const flags = {
  model: {
    value: BASE,
    help: 'directory of a GPT-2, as Hugging Face stores it',
  },
  data: { value: '', help: 'text file to adapt to; its last tenth is held out (default: Moby-Dick)' },
  out: { value: '.bax-out/moby-dick', help: 'directory for what is made' },
  device: { value: 'auto', help: 'where to compute: auto or cpu' },
  targets: {
    value: 'all-linear',
    help: 'adapted layers: all-linear, or a list like q,v or c_attn,c_proj',
  },
  r: { value: '8', help: 'rank of B A', range: [1, 4096], whole: true },
  alpha: { value: '16', help: 'the scale of B A is alpha / r', range: [Number.MIN_VALUE, 1e6] },
  dropout: { value: '0', help: 'dropout on the input of A', range: [0, 0.99] },
  steps: { value: '40', help: 'optimiser steps', range: [1, 1e6], whole: true },
  batch: { value: '4', help: 'windows of text in a step', range: [1, 4096], whole: true },
  context: { value: '128', help: 'tokens in a window', range: [2, 65536], whole: true },
  lr: { value: '0.015', help: 'highest learning rate', range: [0, 10] },
  seed: {
    value: '1',
    help: 'seed of data order, initial A and sampling',
    range: [0, 2 ** 53 - 1],
    whole: true,
  },
  prompt: { value: 'The whale', help: 'text that is continued before and after' },
} as const satisfies Record<
  string,
  { value: string; help: string; range?: readonly [number, number]; whole?: boolean }
>;
type Flag = keyof typeof flags;

export const help = (): string =>
  [
    'Adapts a pretrained Transformer to a text with LoRA, and shows that it worked.',
    '',
    'Usage: npm start -- [options]',
    '',
    ...Object.entries(flags).map(([name, { value, help: text }]) => {
      const shown = name === 'model' ? 'examples/finetune/base' : value;
      return `  --${name.padEnd(8)} ${text}${value === '' ? '' : ` (default: ${shown})`}`;
    }),
    '  --help     this page',
    '',
    'For example, query and value alone, as in the paper; and a text of your own:',
    '',
    '  npm start -- --targets q,v --r 4',
    '  npm start -- --data my.txt --out .bax-out/my --steps 100',
    '',
    'Ctrl-C stops training and keeps what was trained.',
  ].join('\n');

/** The options of a command line; undefined if help was asked for. @throws on an unknown or impossible one. */
export function readOptions(argv: readonly string[]): Options | undefined {
  let values: Record<string, string | boolean | undefined>;
  try {
    const options = Object.fromEntries(Object.keys(flags).map((name) => [name, { type: 'string' as const }]));
    ({ values } = parseArgs({
      args: [...argv],
      options: { ...options, help: { type: 'boolean', short: 'h' } },
    }));
  } catch (error) {
    throw new BaxError(`${(error as Error).message.split(/\.\s/)[0]}; see npm start -- --help`);
  }
  if (values['help']) return undefined;
  const text = (name: Flag): string => {
    if (values[name] === '') throw new BaxError(`--${name} is empty; see npm start -- --help`);
    return (values[name] as string | undefined) ?? flags[name].value;
  };
  const number = (name: Flag): number => {
    const { range, whole } = flags[name] as { range: readonly [number, number]; whole?: boolean };
    const value = Number(text(name));
    if (
      text(name).trim() === '' || // which Number takes for 0
      !(value >= range[0] && value <= range[1]) ||
      (whole && !Number.isInteger(value))
    )
      throw new BaxError(
        `--${name} ${text(name)}: must be ${whole ? 'a whole number' : 'a number'} from ${range[0] === Number.MIN_VALUE ? 'above 0' : range[0]} to ${range[1]}`,
      );
    return value;
  };
  const targets = text('targets').split(',').map((t) => t.trim()).filter((t) => t !== ''); // prettier-ignore
  return {
    model: text('model'),
    data: values['data'] === undefined ? undefined : text('data'),
    out: text('out'),
    device: text('device') as DeviceName,
    targets: targets.join() === 'all-linear' ? 'all-linear' : targets,
    r: number('r'),
    alpha: number('alpha'),
    dropout: number('dropout'),
    steps: number('steps'),
    batch: number('batch'),
    context: number('context'),
    lr: number('lr'),
    seed: number('seed'),
    prompt: text('prompt'),
  };
}
