/** Softmax and its logarithm along rows, and their gradients. Units: rows. Steps in bytes. */
import { type Code, f32x4, i32, type Local, loop } from '../assembler/index.ts';
import { plus, times } from './integers.ts';
import { defineKernel, type Kernel } from './kernel.ts';
import { exp, log } from './math.ts';
import { acrossLanes, forVectors, total } from './rows.ts';
import { Scope } from './scope.ts';

/** Sets `top` to the largest of a row and `sum` to Σ e^(x − top), both in all lanes; `write` may store each e^(x − top). */
export function topAndSum(
  s: Scope,
  n: Local,
  x: Code,
  [p, q]: readonly [Local, Local],
  [top, sum]: readonly [Local, Local],
  y?: Code,
): Code {
  const power = s.temp();
  return [
    top.set(s.f32(-Infinity)),
    forVectors(s, n, [p], [x], (v) => top.set(f32x4.max(top, v.existing(v.load(p), s.f32(-Infinity))))),
    top.set(acrossLanes(s, f32x4.max, top)),
    sum.set(s.f32(0)),
    forVectors(s, n, y === undefined ? [p] : [p, q], y === undefined ? [x] : [x, y], (v) => [
      power.set(exp(s, f32x4.sub(v.load(p), top))),
      sum.set(f32x4.add(sum, v.existing(power, s.f32(0)))),
      y === undefined ? [] : v.store(q, power),
    ]),
    sum.set(total(s, sum)),
  ];
}

interface Row {
  readonly s: Scope;
  readonly n: Local;
  /** Where the row begins, there and here; and two pointers to walk with. */
  readonly x: Local;
  readonly y: Local;
  readonly walkers: readonly [Local, Local];
  readonly top: Local;
  readonly sum: Local;
}
/** Both begin with a row's largest element and its sum of powers; `powers` are written to y on the way if wanted. */
const forward = (name: string, powers: boolean, finish: (row: Row) => Code): Kernel =>
  defineKernel(
    name,
    { x: 'i32', xRow: 'i32', y: 'i32', yRow: 'i32', n: 'i32' },
    ({ target, f, args, from: row, to }) => {
      const s = new Scope(f, target);
      const [x, y, p, q] = f.locals('px', 'py', 'p', 'q');
      const [top, sum] = [s.temp(), s.temp()];
      const body = loop(row, row, to, i32.const(1), [
        x.set(plus(args.x, times(row, args.xRow))),
        y.set(plus(args.y, times(row, args.yRow))),
        topAndSum(s, args.n, x, [p, q], [top, sum], powers ? y : undefined),
        finish({ s, n: args.n, x, y, walkers: [p, q], top, sum }),
      ]);
      return [s.before, body];
    },
  );

/** y = e^(x − max) / Σ e^(x − max). */
export const softmaxKernel: Kernel = forward('softmax', true, ({ s, n, y, walkers: [p], sum }) => [
  sum.set(f32x4.div(s.f32(1), sum)),
  forVectors(s, n, [p], [y], (v) => v.store(p, f32x4.mul(v.load(p), sum))),
]);

/** y = x − max − log Σ e^(x − max). */
export const logSoftmaxKernel: Kernel = forward(
  'logSoftmax',
  false,
  ({ s, n, x, y, walkers: [p, q], top, sum }) => [
    sum.set(log(s, sum)),
    forVectors(s, n, [p, q], [x, y], (v) => v.store(q, f32x4.sub(f32x4.sub(v.load(p), top), sum))),
  ],
);

const gradientArgs = {
  g: 'i32',
  gRow: 'i32',
  y: 'i32',
  yRow: 'i32',
  dx: 'i32',
  dxRow: 'i32',
  n: 'i32',
} as const;

/** dx = y (g − Σ g y). */
export const softmaxGradKernel: Kernel = gradient(
  'softmaxGrad',
  (g, y) => f32x4.mul(g, y),
  (_, g, y, sum) => f32x4.mul(y, f32x4.sub(g, sum)),
);
/** dx = g − e^y Σ g. */
export const logSoftmaxGradKernel: Kernel = gradient(
  'logSoftmaxGrad',
  (g) => g,
  (s, g, y, sum) => f32x4.sub(g, f32x4.mul(exp(s, y), sum)),
);

function gradient(
  name: string,
  term: (g: Code, y: Code) => Code,
  result: (s: Scope, g: Code, y: Code, sum: Code) => Code,
): Kernel {
  return defineKernel(name, gradientArgs, ({ target, f, args, from: row, to }) => {
    const s = new Scope(f, target);
    const [g, y, dx] = f.locals('pg', 'py', 'pdx');
    const [p, q, r] = f.locals('p', 'q', 'r');
    const sum = s.temp();
    const body = loop(row, row, to, i32.const(1), [
      g.set(i32.add(args.g, i32.mul(row, args.gRow))),
      y.set(i32.add(args.y, i32.mul(row, args.yRow))),
      dx.set(i32.add(args.dx, i32.mul(row, args.dxRow))),
      sum.set(s.f32(0)),
      forVectors(s, args.n, [p, q], [g, y], (v) =>
        sum.set(f32x4.add(sum, v.existing(term(v.load(p), v.load(q)), s.f32(0)))),
      ),
      sum.set(total(s, sum)),
      forVectors(s, args.n, [p, q, r], [g, y, dx], (v) => v.store(r, result(s, v.load(p), v.load(q), sum))),
    ]);
    return [s.before, body];
  });
}
