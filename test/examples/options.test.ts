import { describe, expect, it } from 'vitest';
import { BASE, help, readOptions } from '../../examples/finetune/options.ts';
import { failures } from '../support/failures.ts';

it('nothing given is the job of the README', () => {
  expect(readOptions([])).toMatchObject({ model: BASE, data: undefined, targets: 'all-linear', r: 8 });
  expect(BASE).toMatch(/examples.finetune.base$/);
});

it('reads each option', () => {
  const given = ['--model', 'm', '--data=d.txt', '--out', 'o', '--device', 'cpu', '--targets', ' q, v,', '--r', '4', '--alpha', '.5',
    '--dropout', '0.1', '--steps', '1e3', '--batch', '2', '--context', '16', '--lr', '0', '--seed', '7', '--prompt', ' ']; // prettier-ignore
  expect(readOptions(given)).toEqual({
    model: 'm', data: 'd.txt', out: 'o', device: 'cpu', targets: ['q', 'v'], r: 4, alpha: 0.5,
    dropout: 0.1, steps: 1000, batch: 2, context: 16, lr: 0, seed: 7, prompt: ' ',
  }); // prettier-ignore
  expect(readOptions(['--targets', 'all-linear'])!.targets).toBe('all-linear');
  expect(readOptions(['--r', '4', '--r', '2'])!.r).toBe(2);
});

it('asks for help by either name, in lines that fit a terminal', () => {
  expect([readOptions(['--help']), readOptions(['-h', '--r', '0'])]).toEqual([undefined, undefined]);
  expect(
    Math.max(
      ...help()
        .split('\n')
        .map((line) => line.length),
    ),
  ).toBeLessThanOrEqual(100);
});

describe('what cannot be is told in one line', () => {
  const seeHelp = '; see npm start -- --help';
  const given =
    (...argv: string[]) =>
    () =>
      readOptions(argv);
  failures([
    [`Unknown option '--rank'${seeHelp}`, given('--rank', '4')],
    [`Unexpected argument 'q,v'${seeHelp}`, given('q,v')],
    [`Option '--seed <value>' argument missing${seeHelp}`, given('--seed')],
    [`Option '--lr' argument is ambiguous${seeHelp}`, given('--lr', '-1')],
    ['--lr -1: must be a number from 0 to 10', given('--lr=-1')],
    ['--lr nan: must be a number from 0 to 10', given('--lr', 'nan')],
    ['--lr  : must be a number from 0 to 10', given('--lr', ' ')],
    ['--alpha 0: must be a number from above 0 to 1000000', given('--alpha', '0')],
    ['--alpha Infinity: must be a number from above 0 to 1000000', given('--alpha', 'Infinity')],
    ['--dropout 1: must be a number from 0 to 0.99', given('--dropout', '1')],
    ['--steps 1.5: must be a whole number from 1 to 1000000', given('--steps', '1.5')],
    ['--r 0: must be a whole number from 1 to 4096', given('--r', '0')],
    ['--context 1: must be a whole number from 2 to 65536', given('--context', '1')],
    ['--seed -1: must be a whole number from 0 to 9007199254740991', given('--seed=-1')],
    ...['model', 'data', 'out', 'device', 'targets', 'prompt', 'steps'].map(
      (name): [string, () => unknown] => [`--${name} is empty${seeHelp}`, given(`--${name}`, '')],
    ),
  ]);
});
