import { arange, expand, mul, scope, tensor, type Tensor } from '@bax/core';
import { adamW, sgd, type Optimizer } from '@bax/nn';
import { cpu } from '@bax/cpu';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { allValues, f32, f64, freshBackend, values } from './support.ts';
import { runs } from '../../support/runs.ts';

let { backend } = freshBackend();
beforeEach(() => ({ backend } = freshBackend()));

const kinds: [string, (params: ReadonlyMap<string, Tensor>) => Optimizer][] = [
  ['adamW', (params) => adamW(params, { lr: 0.03 })],
  [
    'sgd with momentum',
    (params) => sgd(params, { lr: 0.03, momentum: 0.9, nesterov: true, weightDecay: 0.1 }),
  ],
  ['sgd', (params) => sgd(params, { lr: 0.03 })],
];

describe.each(kinds)('%s', (_, make) => {
  it('P51: n + m steps are n steps, a save, a load into another optimiser and m steps, bit for bit', () => {
    const gradient = fc.float({ min: -4, max: 4, noNaN: true });
    const steps = fc.array(fc.tuple(gradient, gradient), { minLength: 1, maxLength: 9 });
    const property = fc.property(steps, fc.nat(5), fc.constantFrom(f32, f64), (gradients, n, float) => {
      const start = (): Map<string, Tensor> => new Map([['a', float([0.3])], ['b', float([-1.7])]]); // prettier-ignore
      const run = (optimizer: Optimizer, from: number, to: number): void =>
        gradients
          .slice(from, to)
          .forEach(([a, b], i) => optimizer.step([float([a]), float([b])], 0.1 / (from + i + 1)));

      const whole = start();
      const one = make(whole);
      run(one, 0, gradients.length);

      const first = start();
      const before = make(first);
      run(before, 0, n);
      const saved = {
        params: allValues(first),
        state: allValues(before.stateTensors()),
        count: before.stepCount,
      };
      before.dispose();

      const second = new Map(Object.entries(saved.params).map(([name, v]) => [name, float(v)]));
      const after = make(second);
      after.load(new Map(Object.entries(saved.state).map(([name, v]) => [name, float(v)])), saved.count);
      run(after, n, gradients.length);
      expect(allValues(second)).toEqual(allValues(whole));
      expect(allValues(after.stateTensors())).toEqual(allValues(one.stateTensors()));
      expect(after.stepCount).toBe(gradients.length);
    });
    fc.assert(property, runs(60));
  });
});

describe('state', () => {
  it('is named by the parameters, of their bytes, kept in scopes, and freed by dispose', () => {
    const [w, b] = [f32([1, 2, 3]), f64([4])];
    const before = backend.memory().live;
    const optimizer = scope(() => [adamW(new Map([['h.0.w', w], ['h.0.b', b]]))])[0]; // prettier-ignore
    const state = optimizer.stateTensors();
    expect([...state.keys()]).toEqual([
      'h.0.w.exp_avg',
      'h.0.w.exp_avg_sq',
      'h.0.b.exp_avg',
      'h.0.b.exp_avg_sq',
    ]);
    expect(backend.memory().live - before).toBe(2 * (w.bytes + b.bytes));
    scope(() => optimizer.step([f32([1, 1, 1]), f64([1])]));
    expect(values(state.get('h.0.b.exp_avg')!)[0]).toBeCloseTo(0.1, 15);
    optimizer.dispose();
    optimizer.dispose();
    expect(backend.memory().live).toBe(before);
    expect(() => optimizer.step([f32([1, 1, 1]), f64([1])])).toThrow(
      "this tensor was freed by adamW's dispose()",
    );
    expect(values(w)).toHaveLength(3);
  });

  it('of a list is named by position, across groups', () => {
    const optimizer = sgd([{ params: [f32([1])] }, { params: [f32([1]), f32([1])] }], { momentum: 0.5 });
    expect([...optimizer.stateTensors().keys()]).toEqual(
      ['0', '1', '2'].map((name) => `${name}.momentum_buffer`),
    );
  });

  it.each([
    [(s: Map<string, Tensor>) => s.delete('w.exp_avg'), "adamW: the state has no 'w.exp_avg'"],
    [
      (s: Map<string, Tensor>) => s.set('x.exp_avg', f32([1])),
      "adamW: the state has 'x.exp_avg', which belongs to no parameter of this optimiser",
    ],
    [
      (s: Map<string, Tensor>) => s.set('w.exp_avg_sq', f32([1])),
      "adamW: state 'w.exp_avg_sq' is [1], its parameter [2]",
    ],
    [
      (s: Map<string, Tensor>) => s.set('w.exp_avg_sq', f64([1, 1])),
      "adamW: state 'w.exp_avg_sq' is f64, its parameter f32; cast it",
    ],
  ])('that does not fit changes nothing', (spoil, message) => {
    const optimizer = adamW(new Map([['w', f32([1, 2])]]));
    optimizer.step([f32([3, 4])]);
    const before = allValues(optimizer.stateTensors());
    const state = new Map([['w.exp_avg', f32([9, 9])], ['w.exp_avg_sq', f32([9, 9])]]); // prettier-ignore
    spoil(state);
    expect(() => optimizer.load(state, 7)).toThrow(message);
    expect(allValues(optimizer.stateTensors())).toEqual(before);
    expect(optimizer.stepCount).toBe(1);
    expect(() => optimizer.load(optimizer.stateTensors(), 1.5)).toThrow(
      'adamW: stepCount is 1.5; it must be an integer from 0',
    );
  });
});

describe('refuses', () => {
  it('gradients that do not fit, and then changes nothing', () => {
    const params = [f32([1, 2]), f32([3])];
    const optimizer = adamW(params);
    const g = f32([1, 1]);
    const elsewhere = tensor([1], { backend: cpu() });
    expect(() => optimizer.step([g])).toThrow('adamW: got 1 gradients for 2 parameters');
    expect(() => optimizer.step([g, g])).toThrow("adamW: the gradient of '1' is [2], its parameter [1]");
    expect(() => optimizer.step([g, f64([1])])).toThrow(
      "adamW: the gradient of '1' is f64, its parameter f32; cast it",
    );
    expect(() => optimizer.step([g, elsewhere])).toThrow(
      "adamW: the gradient of '1' is on cpu, its parameter on cpu",
    );
    expect(() => optimizer.step([g, f32([1])], NaN)).toThrow(
      'adamW: lr is NaN; it must be a finite number from 0',
    );
    expect(params.map(values)).toEqual([[1, 2], [3]]);
    expect(optimizer.stepCount).toBe(0);
  });

  it('parameters that cannot be trained', () => {
    const w = f32([1]);
    const twice = [{ params: [w] }, { params: new Map([['w', w]]) }];
    const named = [{ params: new Map([['w', w]]) }, { params: new Map([['w', f32([2])]]) }];
    const made = mul(Object.assign(f32([1]), { requiresGrad: true }), 2);
    expect(() => sgd([])).toThrow('sgd: there are no parameters to train');
    expect(() => sgd(twice)).toThrow("sgd: parameters '0' and 'w' are one tensor; give it once");
    expect(() => sgd(named)).toThrow("sgd: two parameters are named 'w'");
    expect(() => sgd([arange(2)])).toThrow("sgd: parameter '0' is i32; only floats are trained");
    expect(() => sgd([expand(w, [3])])).toThrow(
      "sgd: parameter '0' repeats its elements (it was expanded); give a copy()",
    );
    expect(() => sgd([made])).toThrow(
      "sgd: parameter '0' is the result of a recorded op; give the tensor it was made from",
    );
  });
});
