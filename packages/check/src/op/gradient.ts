/** The gradient rule of an op is the derivative of what the op does; and so is the gradient of that. */
import { concat, grad, mul, reshape, sum, type Tensor } from '@bax/core';
import fc from 'fast-check';
import { type Call, plainTensor } from '../arbitraries.ts';
import { assertWithin } from '../bounds.ts';
import { KinkError } from '../errors.ts';
import { gradcheck, type GradcheckOptions } from '../gradcheck.ts';
import {
  argOf,
  floatsOf,
  free,
  hasF64,
  largest,
  onBlocks,
  partOf,
  plainInputs,
  run,
  widestOn,
} from './calls.ts';
import { F32, isDiscrete, lacksF64, type OpLaw } from './law.ts';
import { IN_F64, roundingOf } from './rounding.ts';
import { results } from './views.ts';

const inF64: OpLaw['leftOut'] = (op, backend) => isDiscrete(op) ?? lacksF64(op, backend);

/** `gradcheck` for random points: one on a kink proves nothing and is drawn again. */
async function smoothCheck(
  f: () => Tensor,
  params: Readonly<Record<string, Tensor>>,
  options: GradcheckOptions,
): Promise<void> {
  if (Object.keys(params).length === 0) return;
  try {
    await gradcheck(f, params, options);
  } catch (error) {
    if (error instanceof KinkError) fc.pre(false);
    throw error;
  }
}

export const gradient: OpLaw = {
  name: 'gradient',
  says: 'the gradient is the central difference, for each input and for all together, in f64',
  cases: 25,
  draw: { mode: 'real' },
  leftOut: inF64,
  async holds(call, { backend }) {
    const inputs = plainInputs(call, { dtype: 'f64', backend });
    await smoothCheck(() => run(call, inputs), floatsOf(call, inputs), { directions: 2 });
    free(...inputs);
  },
};

export const gradientOfViews: OpLaw = {
  name: 'gradient of views',
  says: 'the gradient is the central difference through permuted, sliced and expanded views, too',
  cases: 15,
  draw: { mode: 'real', views: true },
  leftOut: inF64,
  async holds(call, { backend }) {
    const { blocks, result } = onBlocks(call, { dtype: 'f64', backend });
    await smoothCheck(result, blocks, { directions: 1 });
    free(...Object.values(blocks));
  },
};

/** The gradients of ⟨c, op(x)⟩ with respect to all float inputs, as one flat tensor that keeps its own tape. */
function gradients(call: Call, inputs: readonly Tensor[], c: Tensor): Tensor {
  const wanted = Object.values(floatsOf(call, inputs));
  for (const x of [...wanted, c]) x.requiresGrad = true;
  const loss = sum(mul(c, run(call, inputs)));
  const grads = grad(loss, wanted, { createGraph: true, allowUnused: true });
  return concat(grads.map((g) => reshape(g, [g.size])));
}

export const secondGradient: OpLaw = {
  name: 'second gradient',
  says: 'the gradient of the gradient is the central difference of the gradient, in f64',
  cases: 10,
  draw: { mode: 'real' },
  leftOut: inF64,
  async holds(call, { backend }) {
    const inputs = plainInputs(call, { dtype: 'f64', backend });
    const y = run(call, inputs);
    const c = plainTensor(argOf(y.shape, (i) => Math.sin(3 * i + 1)), { dtype: y.dtype === 'f32' ? 'f32' : 'f64', backend }); // prettier-ignore
    free(y);
    const moved = { ...floatsOf(call, inputs), cotangent: c };
    // A longer step: what cancels inside a gradient is rounded at a size that the result no longer shows.
    await smoothCheck(() => gradients(call, inputs, c), moved, { directions: 1, h: 1e-4 });
    free(...inputs, c);
  },
};

export const ruleIsDerived: OpLaw = {
  name: 'gradient rule',
  says: 'a gradient rule beside a composition gives what differentiating the composition gives',
  cases: 60,
  draw: { mode: 'real' },
  leftOut: (op) => isDiscrete(op) ?? (op.compose && op.vjp ? undefined : 'the op has not both'),
  async holds(call, { backend, tolerance = F32 }) {
    const wide = hasF64(backend);
    const ruled = await results(call, plainInputs, widestOn(backend));
    const { vjp: _rule, fused: _kernel, ...bare } = call.op;
    const composed = await results({ ...call, op: bare }, plainInputs, widestOn(backend));
    const { lost } = await roundingOf(call);
    ruled.forEach((values, i) => {
      const size = largest(composed[i]!);
      const bound = wide ? 1e-11 * size + IN_F64 * lost[i]! : tolerance * size + lost[i]!;
      assertWithin(values, composed[i]!, bound, partOf(call.op.name, i));
    });
  },
};
