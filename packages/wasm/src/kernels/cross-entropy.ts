/** Cross-entropy along rows of logits. Units: rows. An ignored row's loss and gradient are 0. */
import { f32, f32x4, i32, loop, when } from '../assembler/index.ts';
import { defineKernel, type Kernel } from './kernel.ts';
import { exp, log } from './math.ts';
import { forVectors } from './rows.ts';
import { Scope } from './scope.ts';
import { topAndSum } from './softmax.ts';

/** losses[row] = log Σ e^(x − max) − (x[target] − max). */
export const crossEntropyKernel: Kernel = defineKernel(
  'crossEntropy',
  { x: 'i32', xRow: 'i32', targets: 'i32', losses: 'i32', n: 'i32', ignore: 'i32' },
  ({ target, f, args, from: row, to }) => {
    const s = new Scope(f, target);
    const [x, p, q, label] = f.locals('px', 'p', 'q', 'label');
    const [top, sum] = [s.temp(), s.temp()];
    const loss = f32.sub(
      f32x4.extract_lane(log(s, sum), 0),
      f32.sub(f32.load(i32.add(x, i32.mul(label, i32.const(4)))), f32x4.extract_lane(top, 0)),
    );
    const at = i32.add(args.losses, i32.mul(row, i32.const(4)));
    const body = loop(row, row, to, i32.const(1), [
      label.set(i32.load(i32.add(args.targets, i32.mul(row, i32.const(4))))),
      when(
        i32.eq(label, args.ignore),
        f32.store(at, f32.const(0)),
        [
          x.set(i32.add(args.x, i32.mul(row, args.xRow))),
          topAndSum(s, args.n, x, [p, q], [top, sum]),
          f32.store(at, loss),
        ],
      ),
    ]);
    return [s.before, body];
  },
); // prettier-ignore

/** dx = scale (softmax(x) − onehot(target)), where `scale` holds ∂L/∂loss over the number of targets. */
export const crossEntropyGradKernel: Kernel = defineKernel(
  'crossEntropyGrad',
  { x: 'i32', xRow: 'i32', targets: 'i32', dx: 'i32', dxRow: 'i32', n: 'i32', ignore: 'i32', scale: 'i32' },
  ({ target, f, args, from: row, to }) => {
    const s = new Scope(f, target);
    const [x, dx, p, q, label, hit] = f.locals('px', 'pdx', 'p', 'q', 'label', 'hit');
    const [top, sum, factor] = [s.temp(), s.temp(), s.temp()];
    const body = loop(row, row, to, i32.const(1), [
      label.set(i32.load(i32.add(args.targets, i32.mul(row, i32.const(4))))),
      x.set(i32.add(args.x, i32.mul(row, args.xRow))),
      dx.set(i32.add(args.dx, i32.mul(row, args.dxRow))),
      when(
        i32.eq(label, args.ignore),
        forVectors(s, args.n, [q], [dx], (v) => v.store(q, s.f32(0))),
        [
          topAndSum(s, args.n, x, [p, q], [top, sum]),
          factor.set(f32x4.div(f32x4.splat(f32.load(args.scale)), sum)),
          forVectors(s, args.n, [p, q], [x, dx], (v) =>
            v.store(q, f32x4.mul(exp(s, f32x4.sub(v.load(p), top)), factor)),
          ),
          hit.set(i32.add(dx, i32.mul(label, i32.const(4)))),
          f32.store(hit, f32.sub(f32.load(hit), f32.load(args.scale))),
        ],
      ),
    ]);
    return [s.before, body];
  },
); // prettier-ignore
