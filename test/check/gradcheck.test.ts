import { CheckError, gradcheck, KinkError, UNIT_ROUNDOFF, gamma } from '@bax/check';
import {
  abs, apply, defineOp, detach, dropout, exp, expand, key, layerNorm, linear, maximum, mul, type Op, randn, relu, setBackend, softmax, sum, tanh, type Tensor, tensor, zeros,
} from '@bax/core'; // prettier-ignore
import { cpu } from '@bax/cpu';
import { beforeEach, describe, expect, test } from 'vitest';

beforeEach(() => setBackend(cpu()));
const f64 = (shape: number[], seed = 1): Tensor => randn(shape, { key: seed, dtype: 'f64' });

/** tanh with a gradient that is wrong in some way. */
const wrong = (spoil: (g: Tensor) => Tensor): Op<object> =>
  defineOp({
    name: 'wrong',
    domain: () => ({ inputs: [{ shape: [2] }], attrs: {} }),
    out: ([x]) => [{ shape: x.shape, dtype: x.dtype }],
    compose: ([x]) => tanh(x),
    vjp: ({ g, y }) => spoil(mul(g, mul(y, y).neg().add(1))),
  });
const at = (n: number, value: (i: number) => number): Tensor =>
  tensor(Float64Array.from({ length: n }, (_, i) => value(i)));

describe('a function that jumps by more than it rounds: what it centres is constant, and divided by √ε', () => {
  const normed = (x: Tensor): Tensor => layerNorm(expand(x, [6, 5]), f64([5], 2), f64([5], 3), 1e-9);
  test('passes with its own gradient', async () => {
    for (let seed = 0; seed < 30; seed++) {
      const x = f64([6, 1], seed);
      await gradcheck(() => normed(x), { x }, { seed });
    }
  });
  test('is found out if its gradient is wrong', async () => {
    const x = f64([6, 1]);
    await expect(gradcheck(() => normed(x).add(mul(x.detach(), 1e-3)), { x })).rejects.toThrow(CheckError);
  });
});

describe('finds', () => {
  const mutants: Record<string, (g: Tensor) => Tensor> = {
    'a factor of 1.0001': (g) => mul(g, 1.0001),
    'the wrong sign': (g) => mul(g, -1),
    'one element off by a tenth': (g) =>
      mul(
        g,
        at(12, (i) => (i === 5 ? 1.1 : 1)),
      ),
    'one element lost': (g) =>
      mul(
        g,
        at(12, (i) => (i === 11 ? 0 : 1)),
      ),
    'all lost': (g) => mul(g, 0),
    NaN: (g) => mul(g, NaN),
  };
  test.each(Object.entries(mutants))('%s', async (_, spoil) => {
    const x = f64([12]);
    for (let seed = 0; seed < 5; seed++)
      await expect(
        gradcheck(() => apply(wrong(spoil), [x], {}), { x }, { directions: 1, seed }),
      ).rejects.toThrow(CheckError);
    expect((await gradcheck(() => apply(wrong((g) => g), [x], {}), { x })).checked).toBe(3); // prettier-ignore
  });

  test('a path that the tape does not see', async () => {
    const x = f64([3]);
    await expect(gradcheck(() => sum(mul(x, detach(x))), { x })).rejects.toThrow(CheckError);
    await expect(gradcheck(() => sum(detach(x)), { x })).rejects.toThrow(CheckError);
  });
});

test('its message is a lesson: what moved, what grad says, what f says', async () => {
  const weight = tensor(Float64Array.of(1, 2));
  const error = await gradcheck(() => sum(exp(detach(weight))), { weight }, { seed: 4 }).catch(
    (e: Error) => e.message,
  );
  expect(error).toMatch(
    /^gradcheck: the gradient is not what the function does \(central differences\)\n {2}moved {8}weight \[2\], by ±rms; direction 'weight:0' of seed 4\n {2}grad says {4}⟨g, v⟩ = 0\n {2}f says {7}D\(h\) {3}= \S+ {3}\(f\(x \+ hv\) − f\(x − hv\)\) \/ 2h, h = 0\.00001\n {15}D\(2h\) {2}= \S+\n {2}they differ {2}\S+, allowed is \|D\(2h\) − D\(h\)\| \+ 2ε\/h = \S+$/,
  );
});

describe('passes', () => {
  test('a small network, all its parameters, and reports', async () => {
    const [w, b, gain, shift, x] = [f64([3, 4], 1), f64([3], 2), f64([3], 3), f64([3], 4), f64([5, 4], 5)];
    const f = (): Tensor => sum(mul(softmax(layerNorm(linear(x, w, b), gain, shift)), f64([5, 3], 6)));
    const report = await gradcheck(f, { w, b, gain, shift, x });
    expect(report.checked).toBe(6 * 3); // each alone, then all together
    expect(report.worst).toBeLessThan(1);
  });

  test('as many directions as are asked for, and within a time budget one of all together', async () => {
    const params = { x: f64([3], 1), y: f64([2], 2) };
    const f = (): Tensor => exp(params.x).sum().mul(tanh(params.y).sum());
    expect((await gradcheck(f, params, { runs: 2 })).checked).toBe(3 * 6);
    expect((await gradcheck(f, params, { timeBudget: 0 })).checked).toBe(1);
    expect((await gradcheck(f, { x: params.x }, { timeBudget: 0 })).checked).toBe(1);
    const wrong = (): Tensor => f().mul(exp(detach(params.x)).sum());
    await expect(gradcheck(wrong, params, { timeBudget: 0 })).rejects.toThrow('x [3], y [2], by ±rms');
    await expect(gradcheck(f, params, { runs: 0 })).rejects.toThrow('gradcheck: runs is 0; it is a factor');
    for (const directions of [0, -1, 1.5, NaN])
      await expect(gradcheck(f, params, { directions })).rejects.toThrow(
        `gradcheck: directions is ${directions}; it is how many are tried, an integer from 1`,
      );
    for (const h of [0, -1e-5, NaN, Infinity])
      await expect(gradcheck(f, params, { h })).rejects.toThrow(
        `gradcheck: h is ${h}; it is a step, a finite number above 0`,
      );
  });

  test('f32, coarsely', async () => {
    const x = randn([6], { key: 1 });
    expect((await gradcheck(() => tanh(x), { x })).worst).toBeLessThan(1);
  });

  test('dropout with a fixed key, and a parameter without influence', async () => {
    const [x, unused] = [f64([20]), f64([2])];
    await gradcheck(() => dropout(x, { p: 0.5, key: key(1) }), { x, unused });
  });

  test('a tensor of zeros', async () => {
    const x = zeros([3], { dtype: 'f64' });
    await gradcheck(() => exp(x), { x });
  });
});

test('parameters are as before, bit for bit, also after a failure', async () => {
  const x = tensor(Float64Array.of(0.1, -0, 1 / 3));
  const before = await x.data();
  await gradcheck(() => exp(x), { x });
  await gradcheck(() => exp(detach(x)), { x }).catch(() => {});
  expect((await x.data()).map((v, i) => Number(Object.is(v, before[i])))).toEqual(Float64Array.of(1, 1, 1));
  expect(x.requiresGrad).toBe(false);
});

test('leaves no memory behind', async () => {
  const backend = cpu();
  const x = randn([6], { key: 1, dtype: 'f64', backend });
  await gradcheck(() => tanh(x), { x });
  const before = backend.memory().live;
  await gradcheck(() => tanh(x), { x });
  expect(backend.memory().live).toBe(before);
});

describe('refuses', () => {
  test('a kink', async () => {
    const x = zeros([1], { dtype: 'f64' });
    const message = /^gradcheck: f has a kink at x in all of 12 directions; check it at another point$/;
    const c = tensor(Float64Array.of(0));
    const y = tensor(Float64Array.of(1.5e-7));
    await expect(gradcheck(() => relu(y), { y })).rejects.toThrow(KinkError);
    await expect(gradcheck(() => maximum(x.add(1.5e-7), c), { x })).rejects.toThrow(message);
    expect((await gradcheck(() => abs(f64([4])), { x })).checked).toBe(3);
  });

  test.each(['f64', 'f32'] as const)('a kink at the point itself, in %s', async (dtype) => {
    const message = 'gradcheck: f has a kink at z in all of 12 directions; check it at another point';
    const some = tensor([1, -2, 0, 3], { dtype });
    const one = tensor(
      Array.from({ length: 100 }, (_, i) => i),
      { dtype },
    );
    for (const z of [some, one, zeros([1], { dtype })])
      for (const f of [() => sum(relu(z)), () => relu(z)])
        await expect(gradcheck(f, { z })).rejects.toThrow(new KinkError(message));
  });

  test('no kink where the slope of a smooth function is zero and its gradient wrong, or a kink that is too small to be why', async () => {
    const x = zeros([3], { dtype: 'f64' });
    const lost = (y: Tensor): Tensor => sum(detach(y));
    const wrong = 'gradcheck: the gradient is not what the function does';
    await expect(gradcheck(() => mul(x, x).sum().add(sum(x)).sub(lost(x)), { x })).rejects.toThrow(wrong);
    await expect(gradcheck(() => lost(exp(x)).add(mul(sum(relu(x)), 1e-3)), { x })).rejects.toThrow(wrong);
  });

  test('a random f', async () => {
    const x = f64([3]);
    let calls = 0;
    const { buffers } = x.backend.memory();
    const message = 'gradcheck: f gave two different results for the same input; fix its random key';
    await expect(gradcheck(() => dropout(x.add(1), { p: 0.5, key: key(calls++) }), { x })).rejects.toThrow(
      message,
    );
    expect(x.backend.memory().buffers).toBe(buffers);
  });

  test('an f that gives no tensor, or not at once', async () => {
    const x = f64([3]);
    const later = (async () => sum(x)) as unknown as () => Tensor;
    await expect(gradcheck(later, { x })).rejects.toThrow(
      new CheckError(
        'gradcheck: f gave a Promise, not a tensor; it must give one at once, so await what it needs before',
      ),
    );
    for (const [y, kind] of [[undefined, 'undefined'], [2, 'number'], [null, 'object']] as const)
      await expect(gradcheck(() => y as unknown as Tensor, { x })).rejects.toThrow(`gradcheck: f gave ${kind}, not a tensor`);
  }); // prettier-ignore

  test('nothing to move, integers, and NaN', async () => {
    await expect(gradcheck(() => f64([1]), {})).rejects.toThrow('gradcheck: there is no tensor to move');
    const i = tensor([1], { dtype: 'i32' });
    await expect(gradcheck(() => f64([1]), { i })).rejects.toThrow(
      'gradcheck: i is i32; only floats have gradients',
    );
    const x = tensor(Float64Array.of(-1));
    await expect(gradcheck(() => x.log(), { x })).rejects.toThrow(
      'gradcheck: f is NaN here; there is nothing to differentiate',
    );
  });
});

test('bounds', () => {
  expect(UNIT_ROUNDOFF).toEqual({ f64: 2 ** -53, f32: 2 ** -24, webgpu: 2 ** -23 });
  expect(gamma(4, 2 ** -4)).toBe(1 / 3);
});
