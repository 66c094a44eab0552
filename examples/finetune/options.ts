import { join, parse } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DeviceName } from 'bax';
import { flagLines, readFlags, type Flag } from './flags.ts';

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

const flags = {
  model: {
    value: BASE,
    shown: 'examples/finetune/base',
    help: 'directory of a GPT-2, as Hugging Face stores it',
  },
  data: { value: '', help: 'text file to adapt to; its last tenth is held out (default: Moby-Dick)' },
  out: {
    value: '.bax-out/moby-dick',
    help: 'directory for what is made',
    shown: ".bax-out/ and the text's name",
  },
  device: { value: 'auto', help: 'where to compute: auto, webgpu, wasm or cpu' },
  targets: {
    value: 'all-linear',
    help: 'adapted layers: all-linear, or a list like q,v or c_attn,c_proj',
  },
  r: { value: '8', help: 'rank of B A', range: [1, 4096], whole: true },
  alpha: { value: '16', help: 'the scale of B A is alpha / r', range: [Number.MIN_VALUE, 1e6] },
  dropout: { value: '0', help: 'dropout on the input of A', range: [0, 0.99] },
  steps: { value: '120', help: 'optimiser steps', range: [1, 1e6], whole: true },
  batch: { value: '4', help: 'windows of text in a step', range: [1, 4096], whole: true },
  context: { value: '128', help: 'tokens in a window', range: [2, 65536], whole: true },
  lr: { value: '0.008', help: 'highest learning rate', range: [0, 10] },
  seed: {
    value: '1',
    help: 'seed of data order, initial A and sampling',
    range: [0, 2 ** 53 - 1],
    whole: true,
  },
  prompt: { value: 'The whale', help: 'text that is continued before and after' },
} as const satisfies Record<string, Flag>;
const command = { name: 'npm start', flags };

export const help = (): string =>
  [
    'Adapts a pretrained Transformer to a text with LoRA, and shows that it worked.',
    '',
    'Usage: npm start -- [options]',
    '',
    ...flagLines(command),
    '',
    'For example, query and value alone, as in the paper; and a text of your own:',
    '',
    '  npm start -- --targets q,v --r 4',
    '  npm start -- --data my.txt --steps 200',
    '',
    'Ctrl-C stops training and keeps what was trained.',
  ].join('\n');

/** The options of a command line; undefined if help was asked for. @throws on an unknown or impossible one. */
export function readOptions(argv: readonly string[]): Options | undefined {
  const values = readFlags(command, argv);
  if (!values) return undefined;
  const { given, text, number } = values;
  const targets = text('targets').split(',').map((t) => t.trim()).filter((t) => t !== ''); // prettier-ignore
  return {
    model: text('model'),
    data: given('data') ? text('data') : undefined,
    out: given('out') || !given('data') ? text('out') : join('.bax-out', parse(text('data')).name),
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
