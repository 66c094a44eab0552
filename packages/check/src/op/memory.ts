/** What an op or a gradient needed on the way is given back. */
import { type Backend, grad, noGrad, scope, type Tensor } from '@bax/core';
import { type Call } from '../arbitraries.ts';
import { CheckError } from '../errors.ts';
import { cotangentOf, f32On, floatsOf, plainInputs, resultAndGrads, run, stridedInputs } from './calls.ts';
import { isDiscrete, type OpLaw } from './law.ts';

type Live = readonly [bytes: number, buffers: number];
const liveOn = (backend: Backend): Live => [backend.memory().live, backend.memory().buffers];

/** The bytes that a backend takes to hold it: some give memory out in larger pieces. */
function cost({
  backend,
  view: {
    buffer: { length, type },
  },
}: Tensor): number {
  const [before] = liveOn(backend);
  const buffer = backend.alloc(length, type);
  const [after] = liveOn(backend);
  backend.free(buffer);
  return after - before;
}

function expectLive(backend: Backend, [bytes, buffers]: Live, when: string): void {
  const [live, count] = liveOn(backend);
  if (live !== bytes || count !== buffers)
    throw new CheckError(`${when}, ${count - buffers} buffers and ${live - bytes} bytes too many are live`);
}

/** Runs the call once, for the constants that stay. */
const settle = (call: Call, backend: Backend): void =>
  scope(() => void resultAndGrads(call, plainInputs(call, { ...f32On(backend), requiresGrad: true })));

const PURPOSE = new CheckError('on purpose');

export const scopeLeaks: OpLaw = {
  name: 'leaks',
  says: 'a scope around the op and its gradients leaks nothing, also if it throws',
  cases: 15,
  draw: { mode: 'real', views: true },
  async holds(call, { backend }) {
    settle(call, backend);
    const before = liveOn(backend);
    const options = { ...f32On(backend), requiresGrad: true };
    scope(() => void resultAndGrads(call, stridedInputs(call, options)));
    expectLive(backend, before, 'after the scope');
    try {
      scope(() => {
        resultAndGrads(call, plainInputs(call, options));
        throw PURPOSE;
      });
    } catch (error) {
      if (error !== PURPOSE) throw error;
    }
    expectLive(backend, before, 'after a scope that threw');
  },
};

export const resultAlone: OpLaw = {
  name: 'leaks of the result',
  says: 'without a scope only the result is left of the op, and nothing once it is disposed',
  cases: 15,
  draw: { mode: 'real', views: true },
  async holds(call, { backend }) {
    settle(call, backend);
    const inputs = plainInputs(call, f32On(backend));
    const before = liveOn(backend);
    const y = noGrad(() => run(call, inputs));
    const shared = call.op.view !== undefined || inputs.some((x) => x.view.buffer === y.view.buffer); // a view costs nothing
    const [bytes, buffers] = shared ? [0, 0] : [cost(y), 1];
    expectLive(backend, [before[0] + bytes, before[1] + buffers], 'beside the result');
    y.dispose();
    expectLive(backend, before, 'after the result is disposed');
    inputs.forEach((x) => x.dispose());
  },
};

export const gradientsAlone: OpLaw = {
  name: 'leaks of grad',
  says: 'without a scope only the gradients are left of grad',
  cases: 15,
  draw: { mode: 'real', views: true },
  leftOut: isDiscrete,
  async holds(call, { backend }) {
    settle(call, backend);
    const inputs = plainInputs(call, { ...f32On(backend), requiresGrad: true });
    const params = Object.values(floatsOf(call, inputs));
    if (params.length === 0) return;
    const before = liveOn(backend);
    const y = run(call, inputs);
    const cotangent = cotangentOf(y);
    const grads = grad(y, params, { cotangent, allowUnused: true });
    cotangent.dispose();
    y.dispose();
    const bytes = grads.reduce((n, g) => n + cost(g), 0);
    expectLive(backend, [before[0] + bytes, before[1] + grads.length], 'beside the gradients');
    grads.forEach((g) => g.dispose());
    expectLive(backend, before, 'after the gradients are disposed');
    inputs.forEach((x) => x.dispose());
  },
};
