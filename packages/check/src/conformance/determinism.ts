import { expr, key, type View } from '@bax/core';
import { CheckError } from '../errors.ts';
import type { Check } from '../run.ts';
import { check, type Lab } from './lab.ts';
import { ints, reals, same } from './numbers.ts';
import { plain } from './strided.ts';

const { add, input, mul, scalar, sub, tanh } = expr;
const RUNS = 20;
const [M, K, N] = [129, 130, 131];

const activate = expr.scalarFn('f32', 2, 1, [add(tanh(mul(input(0), scalar(0))), mul(input(1), 2 ** -31))]);
const centre = expr.scalarFn('f32', 2, 0, [sub(input(0), mul(input(1), 1 / N))]);

interface Inputs {
  readonly x: View;
  readonly w: View;
  readonly index: View;
}
/** A call of each family, large enough for several threads or workgroups, each on what the one before made. */
function program(
  { backend, output }: { backend: Lab['backend']; output: (...shape: number[]) => View },
  { x, w, index }: Inputs,
): View[] {
  const [h, y, z, sum, rows, table, out] = [
    output(M, N), output(M, N), output(M, N), output(M, 1), output(400, N), output(M, N), output(1, N),
  ]; // prettier-ignore
  const words = { ...plain([M, N]), buffer: backend.alloc(M * N, 'i32') };
  backend.matmul(x, w, h, { scale: 0.37 });
  backend.random(key(7), words);
  backend.map(activate, [h, words], [y], [0.013]);
  backend.free(words.buffer);
  backend.reduce('sum', y, sum);
  backend.map(centre, [y, { ...sum, shape: [M, N], strides: [1, 0] }], [z], []);
  backend.gather(z, index, rows);
  backend.map(expr.scalarFn('f32', 0, 0, [expr.constant(0)]), [], [table], []);
  backend.scatterAdd(index, rows, table);
  backend.reduce('sum', table, out);
  return [h, y, sum, table, out];
}

export const determinismChecks: readonly Check[] = [
  check(
    'determinism: the same program, 20 times, with work in flight, has the same bits (P55)',
    async (lab) => {
      const inputs: Inputs = {
        x: lab.input('x', plain([M, K]), 'f32', reals(1)).view,
        w: lab.input('w', plain([K, N]), 'f32', reals(2)).view,
        index: lab.input('index', plain([400]), 'i32', (i) => Math.abs(ints(3, 64)(i))).view,
      };
      const { backend } = lab;
      const output = (...shape: number[]): View => lab.output('result', plain(shape), 'f32').view;
      // Nothing is awaited before all is enqueued.
      const runs = Array.from({ length: RUNS }, () =>
        program({ backend, output }, inputs).map(async ({ buffer }) => backend.read(buffer)),
      );
      const [first, ...others] = await Promise.all(runs.map(async (results) => Promise.all(results)));
      const names = ['matmul', 'map', 'reduce', 'scatterAdd', 'reduce of scatterAdd'];
      others.forEach((results, run) =>
        results.forEach((result, i) => {
          const at = result.findIndex((v, e) => !same(v, first[i][e]));
          if (at >= 0)
            throw new CheckError(
              `${names[i]}: in run ${run + 2} element ${at} was ${result[at]}, in the first ${first[i][at]}`,
            );
        }),
      );
      // A program of NaNs, or of nothing, would repeat itself, too.
      if (!first.every((result) => result.every(Number.isFinite) && new Set(result).size > N / 2))
        throw new CheckError('the results are not finite, different numbers');
    },
  ),
];
