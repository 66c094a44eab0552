/** Every backend computes what the cpu does. */
import { grad, noGrad, scope, tensor } from '@bax/core';
import { type Call } from '../arbitraries.ts';
import { assertSameBits } from '../bits.ts';
import { assertWithin } from '../bounds.ts';
import { cotangentOf, f32On, floatsOf, free, hasF64, largest, partOf, plainInputs, reference, run, stridedInputs } from './calls.ts'; // prettier-ignore
import { type Bench, F32, F64, isDiscrete, type OpLaw } from './law.ts';
import { IN_F64, roundingOf } from './rounding.ts';
import { results } from './views.ts';

const isReference: OpLaw['leftOut'] = (_, backend) =>
  backend === reference() ? 'it is what others are compared with' : undefined;

export const smallNumbers: OpLaw = {
  name: 'backend',
  says: 'the backend computes what the cpu does on small numbers, gradients too: bits if the op is exact, else within rounding',
  cases: 60,
  draw: { mode: 'int', views: true },
  leftOut: isReference,
  async holds(call, where) {
    if (!where.exact) return withinRounding(call, where);
    const ours = await results(call, stridedInputs, f32On(where.backend));
    const theirs = await results(call, plainInputs, f32On(reference()));
    theirs.forEach((values, i) => assertSameBits(ours[i]!, values, partOf(call.op.name, i)));
  },
};

export const realNumbers: OpLaw = {
  name: 'backend, real numbers',
  says: "the backend's f32 and f64 lie within rounding of the cpu's f64, gradients too",
  cases: 40,
  draw: { mode: 'real', views: true },
  leftOut: isReference,
  holds: withinRounding,
};

/** Without bits to compare: as near to the cpu's f64 as f32 allows. */
async function withinRounding(call: Call, { backend, tolerance = F32 }: Bench): Promise<void> {
  const { exact, lost } = await roundingOf(call);
  const near = await results(call, stridedInputs, f32On(backend));
  const wide = hasF64(backend) && (await results(call, stridedInputs, { dtype: 'f64', backend }));
  exact.forEach((values, i) => {
    const what = partOf(call.op.name, i);
    assertWithin(near[i]!, values, tolerance * largest(values) + lost[i]!, `${what}, in f32`);
    if (wide) assertWithin(wide[i]!, values, F64 * largest(values) + IN_F64 * lost[i]!, `${what}, in f64`);
  });
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((s, x, i) => s + x * b[i]!, 0);

/** For an op that is linear in each argument: its gradient in whole numbers, on any backend. P32. */
export const exactDifferences: OpLaw = {
  name: 'exact differences',
  says: 'L(x + E) − L(x − E) = 2⟨∇, E⟩ along each argument, bit for bit in f32, L = ⟨c, op(x)⟩ with whole numbers',
  cases: 40,
  draw: { mode: 'int' },
  leftOut: isDiscrete,
  async holds(call, { backend }) {
    const inputs = plainInputs(call, { ...f32On(backend), requiresGrad: true });
    const params = Object.values(floatsOf(call, inputs));
    const { c, grads } = scope(() => {
      const y = run(call, inputs);
      const cotangent = cotangentOf(y);
      return { c: cotangent, grads: grad(y, params, { cotangent, allowUnused: true }) };
    });
    const weights = await c.data();
    /** L at the inputs, one of them another. */
    const loss = async (i: number, moved: Float32Array): Promise<number> => {
      const y = scope(() => {
        const { shape } = inputs[i]!;
        return noGrad(() => run(call, inputs.with(i, tensor(moved, { shape, backend }))));
      });
      const values = await y.data();
      free(y);
      return dot(values, weights);
    };
    for (const [i, x] of inputs.entries()) {
      if (!params.includes(x)) continue;
      const values = await x.data();
      const step = Float32Array.from(values, (_, j) => ((5 * j + i) % 5) - 2);
      const at = (sign: number): Float32Array => Float32Array.from(values, (v, j) => v + sign * step[j]!);
      const difference = (await loss(i, at(1))) - (await loss(i, at(-1)));
      const slope = dot(await grads[params.indexOf(x)]!.data(), step);
      assertSameBits([difference], [2 * slope], `${call.op.name} along x${i}`);
    }
    free(...inputs, ...grads, c);
  },
};
