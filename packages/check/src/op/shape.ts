/** What an op says of itself, and what it leaves on the tape. */
import { BaxError, noGrad, scope, type Spec, showShape, type Tensor } from '@bax/core';
import { assertSameBits } from '../bits.ts';
import { assertWithin } from '../bounds.ts';
import { CheckError } from '../errors.ts';
import { f32On, free, largest, plainInputs, read, run, runAll } from './calls.ts';
import { isFunction } from './function-op.ts';
import type { OpLaw } from './law.ts';

const showSpecs = (specs: readonly Spec[]): string =>
  specs.map(({ shape, dtype }) => `${dtype} ${showShape(shape)}`).join(', ') || 'nothing';
const sameSpecs = (a: readonly Spec[], b: readonly Spec[]): boolean => showSpecs(a) === showSpecs(b);

export const shapeRule: OpLaw = {
  name: 'shape rule',
  says: 'the domain draws calls that are taken, and what the shape rule says is the shape of the result',
  cases: 60,
  draw: { mode: 'real' },
  async holds(call, { backend }) {
    const { op, attrs } = call;
    const inputs = plainInputs(call, f32On(backend));
    let specs: readonly Spec[] | undefined;
    let results: readonly Tensor[];
    try {
      specs = isFunction(op) ? undefined : op.out(inputs, attrs);
      results = noGrad(() => runAll(call, inputs));
    } catch (error) {
      if (!(error instanceof BaxError)) throw error;
      throw new CheckError(`the domain drew a call that is refused: ${error.message}`, { cause: error });
    }
    if (specs && !sameSpecs(results, specs))
      throw new CheckError(`the rule says ${showSpecs(specs)}, the result is ${showSpecs(results)}`);
    for (const [i, values] of (await read(results)).entries())
      if (values.length !== results[i]!.size)
        throw new CheckError(`${showShape(results[i]!.shape)} holds ${values.length} numbers`);
    if (results.some((y) => y.backend !== backend)) throw new CheckError('the result is on another backend');
    free(...inputs, ...results);
  },
};

export const fusedIsComposed: OpLaw = {
  name: 'composition',
  says: 'the op is its composition: bits, or within rounding where the backend has a kernel of its own',
  cases: 60,
  draw: { mode: 'real' },
  leftOut: (op) => (op.compose && !isFunction(op) ? undefined : 'the op is no composition'),
  async holds(call, { backend }) {
    const { op, attrs } = call;
    const inputs = plainInputs(call, f32On(backend));
    const results = noGrad(() => runAll(call, inputs));
    const list = scope((): readonly Tensor[] => {
      const composed = noGrad(() => op.compose!(inputs, attrs));
      return Array.isArray(composed) ? composed : [composed as Tensor];
    });
    if (!sameSpecs(list, results))
      throw new CheckError(`the composition is ${showSpecs(list)}, the result ${showSpecs(results)}`);
    const own = op.fused !== undefined && backend.fused?.[op.fused];
    for (const [i, y] of list.entries()) {
      const [values, expected] = [await results[i]!.data(), await y.data()];
      const what = `${op.name} and its composition`;
      const rounding = backend.info.roundoff > 2 ** -24 ? 2 ** -16 : 2 ** -19; // WGSL's roots and quotients are coarser
      if (own) assertWithin(values, expected, rounding * largest(expected), what);
      else assertSameBits(values, expected, what);
    }
    free(...inputs, ...results, ...list);
  },
};

export const tape: OpLaw = {
  name: 'tape',
  says: 'nothing is recorded for inputs that need no gradient, nor under noGrad, nor of a discrete op',
  cases: 5,
  draw: { mode: 'real' },
  leftOut: (op) => (isFunction(op) ? 'a function may do as it likes' : undefined),
  async holds(call, { backend }) {
    const { discrete } = call.op;
    const said = (what: string, tracked: boolean, expected: boolean): void => {
      if (tracked !== expected)
        throw new CheckError(`${what}, the result is ${tracked ? '' : 'not '}on the tape`);
    };
    scope(() => {
      const inputs = plainInputs(call, f32On(backend));
      said('for inputs that need no gradient', run(call, inputs).tracked, false);
      const trained = plainInputs(call, { ...f32On(backend), requiresGrad: true });
      said('under noGrad', noGrad(() => run(call, trained)).tracked, false);
      const floats = trained.some((x) => x.requiresGrad);
      const what = `for inputs that need a gradient, of an op that is ${discrete ? '' : 'not '}discrete`;
      said(what, run(call, trained).tracked, floats && !discrete);
    });
  },
};
