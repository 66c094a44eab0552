/**
 * layerNorm and rmsNorm along rows: unit = (x − mean) / √(mean((x − mean)²) + eps), with mean = 0 for rmsNorm. Nothing is
 * kept from the forward pass: a row's statistics cost less to compute again than to read. Units: rows.
 */
import { type Code, f32, f32x4, i32, type Local, loop, v128, when } from '../assembler/index.ts';
import { defineKernel, type Frame, type Kernel } from './kernel.ts';
import { forVectors, total } from './rows.ts';
import { Scope } from './scope.ts';

/** Of the model's norm: does it subtract the mean? */
type Kind = 'layerNorm' | 'rmsNorm';
/** Rows whose gradients of the weight are summed by one unit. */
export const NORM_BLOCK = 64;

interface Statistics {
  /** Sets mean and 1/σ of the row at x. */
  readonly set: (x: Code) => Code;
  /** (x − mean) / σ */
  readonly unit: (x: Code) => Code;
  readonly rstd: Local;
}

function statistics(
  kind: Kind,
  s: Scope,
  n: Local,
  eps: Local,
  p: Local,
  temp: (name: string) => Local,
): Statistics {
  const [mean, rstd, sum, c] = [s.temp(), s.temp(), s.temp(), s.temp()];
  const count = temp('count');
  const centred = (x: Code): Code => (kind === 'layerNorm' ? f32x4.sub(x, mean) : x);
  const sumOf = (x: Code, term: (x: Code) => Code): Code => [
    sum.set(s.f32(0)),
    forVectors(s, n, [p], [x], (v) => sum.set(f32x4.add(sum, v.existing(term(v.load(p)), s.f32(0))))),
    sum.set(f32x4.div(total(s, sum), count)),
  ];
  return {
    rstd,
    unit: (x) => f32x4.mul(centred(x), rstd),
    set: (x) => [
      count.set(f32x4.splat(f32.convert_i32_u(n))),
      kind === 'layerNorm' ? [sumOf(x, (v) => v), mean.set(sum)] : [],
      sumOf(x, (v) => [c.set(centred(v)), f32x4.mul(c, c)]),
      rstd.set(f32x4.div(s.f32(1), f32x4.sqrt(f32x4.add(sum, f32x4.splat(eps))))),
    ],
  };
}
const rowOf = (start: Code, row: Code, step: Code): Code => i32.add(start, i32.mul(row, step));
const vectorLocal =
  ({ f }: Pick<Frame<never>, 'f'>) =>
  (name: string): Local =>
    f.local(name, 'v128');

/** y = unit · weight (+ bias). */
const forward = (kind: Kind): Kernel =>
  defineKernel(
    kind,
    { x: 'i32', xRow: 'i32', weight: 'i32', bias: 'i32', y: 'i32', yRow: 'i32', n: 'i32', eps: 'f32' },
    ({ target, f, args, from: row, to }) => {
      const s = new Scope(f, target);
      const [x, y, p, q, w, b] = f.locals('px', 'py', 'p', 'q', 'w', 'b');
      const row1 = statistics(kind, s, args.n, args.eps, p, vectorLocal({ f }));
      const body = loop(row, row, to, i32.const(1), [
        x.set(rowOf(args.x, row, args.xRow)),
        y.set(rowOf(args.y, row, args.yRow)),
        row1.set(x),
        forVectors(s, args.n, [p, w, b, q], [x, args.weight, args.bias, y], (v) => {
          const scaled = f32x4.mul(row1.unit(v.load(p)), v.load(w));
          return v.store(q, kind === 'layerNorm' ? f32x4.add(scaled, v.load(b)) : scaled);
        }),
      ]);
      return [s.before, body];
    },
  );

/** dx = (h − mean(h) − unit · mean(h · unit)) / σ with h = g · weight; without mean(h) for rmsNorm. */
const gradient = (kind: Kind): Kernel =>
  defineKernel(
    `${kind}Grad`,
    {
      g: 'i32',
      gRow: 'i32',
      x: 'i32',
      xRow: 'i32',
      weight: 'i32',
      dx: 'i32',
      dxRow: 'i32',
      n: 'i32',
      eps: 'f32',
    },
    ({ target, f, args, from: row, to }) => {
      const s = new Scope(f, target);
      const [g, x, dx, p, q, w, r] = f.locals('pg', 'px', 'pdx', 'p', 'q', 'w', 'r');
      const row1 = statistics(kind, s, args.n, args.eps, p, vectorLocal({ f }));
      const [h, meanH, meanHUnit, count] = [s.temp(), s.temp(), s.temp(), s.temp()];
      const product = h.set(f32x4.mul(v128.load(q), v128.load(w)));
      const difference = kind === 'layerNorm' ? f32x4.sub(h, meanH) : h;
      const body = loop(row, row, to, i32.const(1), [
        g.set(rowOf(args.g, row, args.gRow)),
        x.set(rowOf(args.x, row, args.xRow)),
        dx.set(rowOf(args.dx, row, args.dxRow)),
        row1.set(x),
        [meanH, meanHUnit].map((v) => v.set(s.f32(0))),
        forVectors(s, args.n, [p, q, w], [x, g, args.weight], (v) => [
          product,
          meanH.set(f32x4.add(meanH, v.existing(h, s.f32(0)))),
          meanHUnit.set(f32x4.add(meanHUnit, v.existing(f32x4.mul(h, row1.unit(v.load(p))), s.f32(0)))),
        ]),
        count.set(f32x4.splat(f32.convert_i32_u(args.n))),
        [meanH, meanHUnit].map((v) => v.set(f32x4.div(total(s, v), count))),
        forVectors(s, args.n, [p, q, w, r], [x, g, args.weight, dx], (v) => [
          product,
          v.store(r, f32x4.mul(row1.rstd, f32x4.sub(difference, f32x4.mul(row1.unit(v.load(p)), meanHUnit)))),
        ]),
      ]);
      return [s.before, body];
    },
  );

/** sums[block] = Σ g · unit over the block's rows. Units: blocks of NORM_BLOCK rows, so that the order of the sum is fixed. */
const weightGradient = (kind: Kind): Kernel =>
  defineKernel(
    `${kind}GradWeight`,
    { g: 'i32', gRow: 'i32', x: 'i32', xRow: 'i32', sums: 'i32', rows: 'i32', n: 'i32', eps: 'f32' },
    ({ target, f, args, from: block, to }) => {
      const s = new Scope(f, target);
      const [g, x, sums, p, q, r, row, end] = f.locals('pg', 'px', 'psums', 'p', 'q', 'r', 'row', 'end');
      const row1 = statistics(kind, s, args.n, args.eps, p, vectorLocal({ f }));
      const body = loop(block, block, to, i32.const(1), [
        sums.set(rowOf(args.sums, block, i32.mul(args.n, i32.const(4)))),
        forVectors(s, args.n, [r], [sums], (v) => v.store(r, s.f32(0))),
        end.set(i32.mul(i32.add(block, i32.const(1)), i32.const(NORM_BLOCK))),
        when(i32.lt_u(args.rows, end), end.set(args.rows)),
        loop(row, i32.mul(block, i32.const(NORM_BLOCK)), end, i32.const(1), [
          g.set(rowOf(args.g, row, args.gRow)),
          x.set(rowOf(args.x, row, args.xRow)),
          row1.set(x),
          forVectors(s, args.n, [p, q, r], [x, g, sums], (v) =>
            v.store(r, f32x4.add(v.load(r), f32x4.mul(v.load(q), row1.unit(v.load(p))))),
          ),
        ]),
      ]);
      return [s.before, body];
    },
  ); // prettier-ignore

export interface NormKernels {
  readonly forward: Kernel;
  readonly gradient: Kernel;
  readonly weightGradient: Kernel;
}
const of = (kind: Kind): NormKernels => ({
  forward: forward(kind),
  gradient: gradient(kind),
  weightGradient: weightGradient(kind),
});
export const layerNorm: NormKernels = of('layerNorm');
export const rmsNorm: NormKernels = of('rmsNorm');
