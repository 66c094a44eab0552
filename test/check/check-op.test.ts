/** What `checkOp` does with ops and functions that are wrong, each in one way. */
import { CheckError, checkOp, type OpOptions, opLaws } from '@bax/check';
import {
  add, argmax, assign, type Backend, BaxError, copy, defineOp, detach, div, exp, keep, matmul, mul, type Op, slice, tanh,
  type Tensor, tensor, transpose, zeros,
} from '@bax/core'; // prettier-ignore
import { cpu } from '@bax/cpu';
import { wasm } from '@bax/wasm';
import { describe, expect, it, test } from 'vitest';

interface Cap {
  readonly cap: number;
}
/** Logits between −cap and cap: cap · tanh(x / cap). */
const right: Op<Cap> = defineOp<Cap>({
  name: 'softcap',
  domain: (draw) => ({ inputs: [{ shape: draw.shape() }], attrs: { cap: draw.pick([1, 2]) } }),
  out: ([x]) => [{ shape: x!.shape, dtype: x!.dtype }],
  compose: ([x], { cap }) => mul(tanh(div(x!, cap)), cap),
  vjp: ({ g, y, attrs: { cap } }) => mul(g, mul(div(y, cap), div(y, cap)).neg().add(1)),
});
const softcap = (change: Partial<Op<Cap>>): Op<Cap> => defineOp<Cap>({ ...right, ...change });

/** The law that a subject breaks, and what is said of it. */
async function broken(check: Promise<unknown>): Promise<[law: string, message: string]> {
  const error = await check.then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(CheckError);
  const { message } = error as CheckError;
  return [/^\w+: (.*) on \w+: /.exec(message)![1]!, message];
}

const few = { runs: 0.3 };

describe('finds nothing wrong with', () => {
  it('an op, and says what was tried and what was not', async () => {
    const seen: number[] = [];
    const report = await checkOp(right, { ...few, tried: (n) => void seen.push(n) });
    expect(report).toMatchObject({ op: 'softcap', failures: [] });
    expect(report.passed.map(({ name }) => name)).toEqual(
      opLaws.map(({ name }) => `${name} on cpu`).filter((name) => !/^(second|exact|backend)/.test(name)),
    );
    expect(report.passed.every(({ cases, ms }) => cases > 0 && ms > 0)).toBe(true);
    expect(report.leftOut).toEqual([
      'second gradient on cpu: not asked for',
      'exact differences on cpu: not asked for',
      'backend on cpu: it is what others are compared with',
      'backend, real numbers on cpu: it is what others are compared with',
    ]);
  });

  it('an op with all laws, on two backends', async () => {
    const backends = [cpu(), await wasm({ threads: 1 })];
    const { passed, leftOut } = await checkOp(right, { ...few, backends, second: true });
    expect(passed).toHaveLength(2 * (opLaws.length - 1));
    expect(leftOut).toEqual(['exact differences on cpu: not asked for', 'exact differences on wasm: not asked for']); // prettier-ignore
  });

  it('a linear op in whole numbers', async () => {
    const domain = (draw: { shape(rank: [number, number]): number[] }) => {
      const [n, m] = draw.shape([2, 2]) as [number, number];
      return [{ shape: [n, m] }, { shape: [m, 2] }];
    };
    const product = (a: Tensor, b: Tensor): Tensor => matmul(a, b);
    const { passed } = await checkOp(product, { ...few, domain, linear: true, exact: true, backends: [await wasm({ threads: 1 })] }); // prettier-ignore
    expect(passed.map(({ name }) => name)).toContain('exact differences on wasm');
  });

  it('functions: a view, of several results, with constants of their own, discrete', async () => {
    const domain = (draw: { shape(rank: [number, number]): number[] }) => [{ shape: draw.shape([2, 2]) }];
    await checkOp((x) => transpose(x), { ...few, domain, name: 'turned' });
    await checkOp((x) => slice(exp(x), 0, 0, 1), { ...few, domain, name: 'first' });
    await checkOp((x) => [exp(x), argmax(x, -1)], { ...few, domain, name: 'pair' });
    await checkOp((x) => mul(x, tensor(2, { dtype: x.dtype })), { ...few, domain, name: 'doubled' });
    await checkOp((x) => argmax(x, -1), { ...few, domain, name: 'best' });
  });
});

describe('names the law that is broken by', () => {
  const cases: [string, Op<Cap>, OpOptions][] = [
    ['shape rule', softcap({ out: ([x]) => [{ shape: [...x!.shape, 1], dtype: x!.dtype }] }), {}],
    ['shape rule', softcap({ domain: () => ({ inputs: [{ shape: [2] }], attrs: { cap: 0 } }), out: ([x], { cap }) => {
      if (cap <= 0) throw new BaxError('softcap: cap must be above 0');
      return right.out([x!], { cap });
    } }), {}],
    ['gradient', softcap({ vjp: ({ g }) => g }), {}],
    ['gradient', softcap({ vjp: ({ g, y, attrs: { cap } }) => mul(g, mul(div(y, cap), div(y, cap)).neg().add(1.0001)) }), {}],
    ['second gradient', softcap({ vjp: ({ g, y, attrs: { cap } }) => mul(g, detach(mul(div(y, cap), div(y, cap)).neg().add(1))) }), { second: true }],
    ['gradient rule', softcap({ vjp: ({ g }) => g }), { only: 'gradient rule' }],
    ['exact differences', right, { linear: true, only: 'exact' }],
    ['composition', softcap({ fused: 'softcap' }), { backends: [{ ...cpu(), fused: { softcap: () => true } }] }],
    ['purity', softcap({ compose: ([x], { cap }) => (assign(x!, copy(x!)), right.compose!([x!], { cap }) as Tensor) }), { only: 'purity' }],
    ['leaks', softcap({ compose: ([x], { cap }) => (keep(zeros([3], { backend: x!.backend })), right.compose!([x!], { cap }) as Tensor) }), { only: 'leaks' }],
  ]; // prettier-ignore
  test.each(cases)('%s', async (law, op, options) => {
    expect((await broken(checkOp(op, { ...few, ...options })))[0]).toBe(law);
  });

  /** Reads its input as if it lay row-major at the start of its memory. */
  const strided = defineOp<object>({
    name: 'halved',
    domain: (draw) => ({ inputs: [{ shape: draw.shape([1, 2]) }], attrs: {} }),
    out: ([x]) => [{ shape: x!.shape, dtype: x!.dtype }],
    run(backend, [x], [y]) {
      const values = backend.peek!(x!.buffer)!;
      backend.write(y!.buffer, values.slice(0, y!.buffer.length).map((v) => v / 2));
    },
    vjp: ({ g }) => mul(g, 0.5),
    widens: 'all',
  }); // prettier-ignore
  test('views, by a kernel that does not look at strides; storage, by one that does not look at dtypes', async () => {
    expect((await broken(checkOp(strided, { ...few, only: 'views on cpu' })))[0]).toBe('views');
    expect((await broken(checkOp(strided, { ...few, only: 'storage' })))[0]).toBe('storage');
  });

  test('purity, by hidden state', async () => {
    let n = 0;
    const counted = (x: Tensor): Tensor => add(x, n++ % 3);
    const domain = (): { shape: number[] }[] => [{ shape: [2] }];
    expect((await broken(checkOp(counted, { ...few, domain, only: 'purity' })))[0]).toBe('purity');
  });

  test('backend, by one whose tanh is off', async () => {
    const plain = cpu();
    const off: Backend = {
      ...plain,
      name: 'off',
      map(fn, inputs, outputs, scalars) {
        plain.map(
          fn,
          inputs,
          outputs,
          Array.from(scalars, (s) => s * 1.001),
        );
      },
    };
    const [law, message] = await broken(checkOp(right, { ...few, backends: [off], only: 'backend' }));
    expect(law).toBe('backend');
    expect(message).toMatch(
      /softcap: backend on off: the backend computes what the cpu does on small numbers/,
    );
  });
});

describe('its message is a lesson', () => {
  const doubled = softcap({ vjp: ({ g }) => mul(g, 2) });

  it('the law, what came, the smallest call, and a line that replays it; then the other laws', async () => {
    const [, message] = await broken(checkOp(doubled, { runs: 0.3, seed: 7 }));
    expect(message).toMatch(
      /^softcap: gradient on cpu: the gradient is the central difference, for each input and for all together, in f64\n {2}but {6}gradcheck: the gradient is not what the function does \(central differences\)\n( {4}.*\n){5} {2}for {6}softcap\(\[\] of -?[\d.]+\) with \{"cap":1\}\n {2}replay {3}await checkOp\(softcap, \{ only: "gradient on cpu", seed: 7, path: '[\d:]+' \}\);\nand 2 more of 14 laws do not hold:\n {2}gradient of views on cpu\n {2}gradient rule on cpu$/,
    );
  });

  it('the line replays it: the smallest call comes first', async () => {
    const error = (await checkOp(doubled, few).catch((e: unknown) => e)) as CheckError;
    const [, only, seed, path] = /only: "(.*)", seed: (\d+), path: '(.*)'/.exec(error.message)!;
    let calls = 0;
    const counted = { ...doubled, compose: (...args: Parameters<NonNullable<Op<Cap>['compose']>>) => (calls++, right.compose!(...args)) }; // prettier-ignore
    const again = checkOp(counted, { only: only!, seed: Number(seed), path: path! });
    await expect(again).rejects.toThrow(error.message.split('\nand ')[0]);
    expect(calls).toBeLessThan(80); // of one call and its neighbours: no search
  });

  it('names the options that it was called with, so that the line can be pasted', async () => {
    const wrong = (x: Tensor): Tensor => detach(exp(x));
    const domain = (): { shape: number[] }[] => [{ shape: [1] }];
    const [, message] = await broken(checkOp(wrong, { ...few, domain, backends: [cpu()], tolerance: 1e-3 }));
    expect(message).toContain('replay   await checkOp(wrong, { domain, backends, tolerance: 0.001, only: "gradient on cpu", seed: 1, path: '); // prettier-ignore
  });
});

describe('refuses', () => {
  const said = async (check: () => Promise<unknown>): Promise<string> =>
    check().then(
      () => 'nothing',
      (e: Error) => `${e.name}: ${e.message}`,
    );
  const identity = (x: Tensor): Tensor => x;
  const domain = (): { shape: number[] }[] => [{ shape: [2] }];
  it.each<[string, () => Promise<unknown>]>([
    ['BaxError: checkOp: identity needs a domain to draw its inputs from; pass { domain: (draw) => [{ shape: draw.shape() }] }',
      async () => Reflect.apply(checkOp, undefined, [identity])],
    ['BaxError: checkOp: softcap has no domain, so no call of it can be drawn; write domain: (draw) => ({ inputs: [{ shape: draw.shape() }], attrs: {} })',
      async () => Reflect.apply(checkOp, undefined, [{ ...right, domain: undefined }])],
    ['BaxError: checkOp(softcap): runs is 0; it is a factor on the number of cases, a finite number above 0', async () => checkOp(right, { runs: 0 })],
    ['BaxError: checkOp(softcap): seed is 0.5; it is an integer of 32 bits', async () => checkOp(right, { seed: 0.5 })],
    ['BaxError: checkOp(softcap): timeBudget is NaN; it is a number of milliseconds, from 0', async () => checkOp(right, { timeBudget: NaN })],
    ["BaxError: checkOp(softcap): path is a case of one law, and 'leaks' means 3 of them", async () => checkOp(right, { only: 'leaks', path: '0' })],
  ])('%s', async (message, check) => {
    expect(await said(check)).toBe(message);
  }); // prettier-ignore

  it('a law that there is not, naming those that there are', async () => {
    expect(await said(async () => checkOp(right, { only: 'beauty' }))).toMatch(
      /^BaxError: checkOp\(softcap\): no law has 'beauty' in its name; there are 'shape rule on cpu', 'composition on cpu', /,
    );
  });

  it('what is no function of tensors', async () => {
    const none = (): Tensor => Reflect.get({}, 'y') as Tensor;
    expect(await said(async () => checkOp(none, { domain }))).toContain('none: a function of tensors returns a tensor, or several; this one returned undefined'); // prettier-ignore
    const later = (x: Tensor): Tensor => Reflect.apply(async () => x, undefined, []) as never;
    expect(await said(async () => checkOp(later, { domain }))).toContain('this one returned a Promise');
    expect(await said(async () => checkOp(identity, { domain: () => [] }))).toContain('identity: its domain drew a call without inputs'); // prettier-ignore
  });

  it("an error of the user's own, with its kind and its stack", async () => {
    const typo = (x: Tensor): Tensor => Reflect.get(x, 'nothing').mul(2) as Tensor; // prettier-ignore
    const error = await checkOp(typo, { domain }).catch((e: Error) => e);
    expect((error as Error).message).toMatch(/^typo: shape rule on cpu: [^\n]*\n {2}but {6}TypeError: Cannot read properties of undefined/); // prettier-ignore
  });
});

it('keeps within a time budget, but tries each law', async () => {
  const { passed } = await checkOp(right, { timeBudget: 0 });
  expect(passed.map(({ cases }) => cases)).toEqual(passed.map(() => 1));
});

it('gives back the memory it takes', async () => {
  const backend = cpu();
  const domain = (): { shape: number[] }[] => [{ shape: [3] }];
  await checkOp((x) => [exp(x), argmax(x, 0)], { runs: 0.1, domain, name: 'pair', backends: [backend] });
  const before = backend.memory().buffers;
  for (const options of [{}, { linear: true, only: 'exact differences on cpu', exact: true }])
    await checkOp((x) => mul(x, 2), { ...few, ...options, domain, name: 'doubled', backends: [backend], second: true }); // prettier-ignore
  await checkOp(right, { ...few, backends: [backend], second: true });
  expect(backend.memory().buffers).toBeLessThanOrEqual(before + 2); // constants that stay
});
