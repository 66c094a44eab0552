import {
  add, backward, BaxError, cast, concat, defineOp, detach, div, exp, expand, gather, grad, keep, log, matmul, mean, mul, noGrad, observe, ones,
  relu, reshape, setBackend, slice, softmax, sub, sum, tapeOf, type Tensor, tensor, valueAndGrad, apply, applyAll, assign, copy,
} from '@bax/core'; // prettier-ignore
import { cpu } from '@bax/cpu';
import { beforeEach, describe, expect, test } from 'vitest';

beforeEach(() => setBackend(cpu()));
const param = (values: number[], dtype: 'f32' | 'f64' = 'f64'): Tensor =>
  tensor(values, { dtype, requiresGrad: true });
const list = (t: Tensor | undefined): number[] => [...t!.peek()!];

describe('grad', () => {
  test('∂Σ x³ = 3x²; and the second and third derivative', () => {
    const x = param([1, 2, -3]);
    const cube = sum(mul(mul(x, x), x));
    const [first] = grad(cube, [x], { createGraph: true });
    expect(list(first)).toEqual([3, 12, 27]);
    const [second] = grad(sum(first), [x], { createGraph: true });
    expect(list(second)).toEqual([6, 12, -18]);
    const [third] = grad(sum(second), [x]);
    expect(list(third)).toEqual([6, 6, 6]);
  });

  test('a cotangent weighs a result that is no scalar, and can be differentiated itself', () => {
    const [x, c] = [param([1, 2, 3]), param([5, 7, 11])];
    expect(list(grad(mul(x, x), [x], { cotangent: c })[0])).toEqual([10, 28, 66]);
    const [g] = grad(mul(x, x), [x], { cotangent: c, createGraph: true });
    expect(list(grad(sum(g), [c])[0])).toEqual([2, 4, 6]);
  });

  test('a loss of one element need not be a scalar', () => {
    const x = param([3]);
    expect(list(grad(reshape(mul(x, x), [1, 1]), [x])[0])).toEqual([6]);
  });

  test('with respect to an intermediate result, and to the loss itself', () => {
    const x = param([2]);
    const h = mul(x, x);
    const y = exp(log(h));
    const [dh, dx] = grad(sum(y), [h, x]);
    expect(list(dh)[0]).toBeCloseTo(1, 12);
    expect(list(dx)[0]).toBeCloseTo(4, 12);
    expect(h.freed).toBe(false);
    const z = sum(mul(x, x));
    expect(list(grad(z, [z])[0])).toEqual([1]);
  });

  test('the same parameter twice, and one that is used in many places', () => {
    const x = param([1, 2]);
    const [a, b] = grad(sum(add(mul(x, 3), concat([x, x]).slice(0, 1, 3))), [x, x]);
    expect([list(a), list(b)]).toEqual([
      [4, 4],
      [4, 4],
    ]);
    expect(a.view.buffer).not.toBe(b.view.buffer);
  });

  test('broadcast gradients are summed back, axes of length 1 and missing axes', () => {
    const [x, row, column, one] = [
      tensor(Float64Array.of(1, 2, 3, 4, 5, 6), { shape: [2, 3], requiresGrad: true }),
      param([1, 2, 3]),
      reshape(param([1, 2]), [2, 1]),
      param([2]),
    ];
    const grads = grad(sum(mul(mul(mul(x, row), column), one)), [row, column, one]);
    expect(grads.map((g) => g.shape)).toEqual([[3], [2, 1], [1]]);
    expect(grads.map(list)).toEqual([[18, 24, 30], [28, 128 - 64], [28 + 2 * 32]].map((g, i) => (i === 0 ? g.map((_, j) => 2 * ((j + 1) + 2 * (j + 4))) : i === 1 ? [2 * 14, 2 * 32] : [14 + 2 * 32]))); // prettier-ignore
  });

  test('gradients have the dtype of their parameter', () => {
    const x = param([1, 2], 'f32');
    const [g] = grad(sum(mul(cast(x, 'f64'), tensor(Float64Array.of(3, 4)))), [x]);
    expect([g.dtype, list(g)]).toEqual(['f32', [3, 4]]);
  });

  test('each gradient has memory of its own: changing one changes nothing else', () => {
    const [a, b, c] = [param([1, 2]), param([3, 4]), param([5, 6])];
    const cotangent = ones([2], { dtype: 'f64' });
    const grads = grad(add(add(a, b), c), [a, b, c, a], { cotangent, allowUnused: true });
    const twoOnes = (): void =>
      expect(grads.slice(1).map(list)).toEqual([
        [1, 1],
        [1, 1],
        [1, 1],
      ]);
    twoOnes();
    assign(grads[0], tensor(Float64Array.of(7, 7)));
    twoOnes();
    expect(list(cotangent)).toEqual([1, 1]);
    const [zero] = grad(sum(a), [b], { allowUnused: true });
    const [one] = grad(sum(a), [a]);
    const scalar = tensor(2, { requiresGrad: true });
    const [unit] = grad(scalar.mul(1), [scalar]);
    for (const g of [zero, one, unit])
      assign(
        g,
        noGrad(() => mul(copy(g), 0).add(9)),
      );
    expect(list(grad(sum(a), [b, a], { allowUnused: true })[0])).toEqual([0, 0]);
    expect(list(grad(sum(a), [a])[0])).toEqual([1, 1]);
    expect(list(grad(scalar.mul(1), [scalar])[0])).toEqual([1]);
  });

  test('goes only where a parameter is: no product for a frozen weight', () => {
    const [x, w, frozen] = [tensor([[1, 2]]), tensor([[1], [2]], { requiresGrad: true }), tensor([[3]])];
    const seen: string[] = [];
    const loss = sum(matmul(matmul(x, w), frozen));
    const [g] = observe((op) => seen.push(op), () => grad(loss, [w])); // prettier-ignore
    expect(list(g)).toEqual([3, 6]);
    expect(seen.filter((op) => op === 'matmul')).toHaveLength(2); // through `frozen`, and ∂w; neither ∂frozen nor ∂x
  });

  test.each<[string, () => unknown]>([
    [
      'grad: the loss must be a scalar, this one is [2]; reduce it with mean() or sum(), or pass { cotangent }',
      () => grad(mul(param([1, 2]), 2), []),
    ],
    [
      'grad: the cotangent is [3], the loss [2]',
      () => grad(mul(param([1, 2]), 2), [], { cotangent: ones([3]) }),
    ],
    [
      'grad: this loss has no tape: no input of it has requiresGrad (set it before, or take valueAndGrad()), or an earlier grad() consumed it (pass { retain: true } there)',
      () => grad(sum(ones([2])), [ones([2])]),
    ],
    [
      'grad: params[1] [3] does not influence the loss; leave it out, or pass { allowUnused: true } for zeros',
      () => {
        const x = param([1, 2]);
        return grad(sum(x), [x, param([1, 2, 3])]);
      },
    ],
    [
      'grad: this tensor was freed by dispose()',
      () => {
        const loss = sum(param([1]));
        loss.dispose();
        return grad(loss, []);
      },
    ],
  ])('%s', (message, f) => {
    expect(f).toThrow(new BaxError(message));
  });
});

describe('a consumed tape', () => {
  test('a second grad says so', () => {
    const x = param([1]);
    const loss = sum(mul(x, x));
    grad(loss, [x]);
    expect(() => grad(loss, [x])).toThrow('grad: this loss has no tape');
  });

  test('so does another loss that shares a part of it, whatever it asks for', () => {
    const trunk = (): [Tensor, Tensor, Tensor] => {
      const x = param([1, 2]);
      const h = exp(x);
      return [x, sum(h), sum(mul(h, h))];
    };
    const message =
      'grad: an earlier grad() consumed the exp on which this loss depends too; pass { retain: true } there, or add up the losses';
    const [x, a, b] = trunk();
    grad(a, [x]);
    expect(() => grad(b, [x])).toThrow(message);
    expect(() => grad(b, [x], { allowUnused: true })).toThrow(message);
    const [, c, d] = trunk();
    backward(c);
    expect(() => backward(d)).toThrow(message);
    const [y, e, f] = trunk();
    backward(e, { retain: true });
    backward(f);
    expect(list(y.grad)[0]).toBeCloseTo(Math.E + 2 * Math.E ** 2, 12);
  });

  test('what does not lead to a parameter asked for is not consumed', () => {
    const [x, w] = [param([1, 2]), param([3, 4])];
    const h = exp(w);
    const one = sum(mul(x, h));
    grad(one, [x]);
    expect(list(grad(sum(h), [w])[0])).toEqual(list(exp(w)));
  });

  test('a kept activation is a constant for what is computed later', () => {
    const [x, w] = [param([1, 2]), param([3, 4])];
    const h = keep(mul(x, x));
    grad(sum(h), [x]);
    expect(list(grad(sum(mul(h, w)), [w])[0])).toEqual([1, 4]);
  });
});

describe('in-place changes', () => {
  const message = (what: string): string => `grad: ${what} was changed in place after it was used`;

  test('of an input, of a constant that a gradient reads, or of a result are noticed', () => {
    const [x, c] = [param([1, 2]), tensor(Float64Array.of(3, 4))];
    const change = (t: Tensor): unknown => assign(t.detach(), tensor(Float64Array.of(0, 0)));
    let loss = sum(mul(x, c));
    change(x);
    expect(() => grad(loss, [x])).toThrow(message('input 0 of mul [2]'));
    loss = sum(mul(x, c));
    change(c);
    expect(() => grad(loss, [x])).toThrow(message('input 1 of mul [2]'));
    const y = exp(x);
    change(y);
    expect(() => grad(y, [x], { cotangent: ones([2], { dtype: 'f64' }) })).toThrow(
      message('the result of exp [2]'),
    );
  });

  test('a change through any view of the memory counts', () => {
    const [x, cache] = [param([1, 2]), tensor(Float64Array.of(3, 4, 5))];
    const loss = sum(mul(x, slice(cache, 0, 0, 2)));
    assign(slice(cache, 0, 2, 3), tensor(Float64Array.of(9)));
    expect(() => grad(loss, [x])).toThrow(message('input 1 of mul [2]'));
  });

  test('before the use, or of what the walk does not pass, they are nobody else’s business', () => {
    const [x, c] = [param([1, 2]), tensor(Float64Array.of(3, 4))];
    assign(c, tensor(Float64Array.of(5, 6)));
    const aside = exp(c);
    const loss = sum(mul(x, c));
    assign(aside, tensor(Float64Array.of(0, 0)));
    expect(list(grad(loss, [x])[0])).toEqual([5, 6]);
  });
});

describe('backward', () => {
  test('adds to grad on every leaf with requiresGrad', () => {
    const [x, w, c] = [param([1, 2]), param([3, 4]), tensor(Float64Array.of(1, 1))];
    const loss = (): Tensor => sum(mul(mul(x, w), c));
    loss().backward();
    expect([list(x.grad), list(w.grad), c.grad]).toEqual([[3, 4], [1, 2], undefined]);
    const before = x.grad!;
    loss().backward();
    expect([list(x.grad), list(w.grad), before.freed]).toEqual([[6, 8], [2, 4], true]);
    x.grad = undefined;
    loss().backward();
    expect([list(x.grad), list(w.grad)]).toEqual([
      [3, 4],
      [3, 6],
    ]);
  });

  test('the gradient is a plain tensor that survives scopes and may be changed', () => {
    const x = param([1, 2]);
    x.mul(x).sum().backward();
    expect([x.grad!.tracked, x.grad!.requiresGrad, x.grad!.kept]).toEqual([false, false, true]);
    assign(x.grad!, ones([2], { dtype: 'f64' }));
    expect(list(x.grad)).toEqual([1, 1]);
  });

  test('of nothing that is tracked is an error', () => {
    expect(() => sum(ones([2])).backward()).toThrow('grad: this loss has no tape');
  });
});

describe('valueAndGrad', () => {
  test('gives both, and requiresGrad is as before', () => {
    const [w, frozen] = [tensor([3]), param([2], 'f32')];
    const { value, grads } = valueAndGrad(() => sum(mul(mul(w, w), frozen)), [w]);
    expect([list(value), grads.map(list)]).toEqual([[18], [[12]]]);
    expect([w.requiresGrad, frozen.requiresGrad, value.tracked]).toEqual([false, true, false]);
  });

  test('also where f throws', () => {
    const w = tensor([3]);
    expect(() => valueAndGrad(() => { throw new Error('on purpose'); }, [w])).toThrow('on purpose'); // prettier-ignore
    expect(w.requiresGrad).toBe(false);
  });

  test('passes the options on', () => {
    const [w, other] = [tensor([3]), tensor([1, 1])];
    expect(list(valueAndGrad(() => sum(mul(w, w)), [w, other], { allowUnused: true }).grads[1])).toEqual([
      0, 0,
    ]);
  });
});

describe('what is not recorded', () => {
  test('noGrad', () => {
    const x = param([2]);
    expect(noGrad(() => mul(x, x)).tracked).toBe(false);
    expect(mul(x, x).tracked).toBe(true);
    expect(() => noGrad(() => { throw new Error('on purpose'); })).toThrow('on purpose'); // prettier-ignore
    expect(mul(x, x).tracked).toBe(true);
    expect(() => noGrad(async () => x)).toThrow(
      'noGrad: the callback is synchronous; use noGrad around each synchronous part',
    );
  });

  test('detach is a constant on the same memory', () => {
    const x = param([2, 3]);
    const y = detach(x);
    expect([y.tracked, y.view.buffer === x.view.buffer]).toEqual([false, true]);
    expect(list(grad(sum(mul(x, detach(x))), [x])[0])).toEqual([2, 3]);
  });

  test('a gradient of softmax that sums to nothing is zero, not an error', () => {
    const x = param([0.3, 0.7]);
    list(grad(sum(softmax(x)), [x])[0]).forEach((g) => expect(g).toBeCloseTo(0, 15));
  });
});

describe('size', () => {
  test('100,000 calls in a chain: no deep recursion, one backward op for each', () => {
    const x = param([1], 'f32');
    const count = (depth: number): [tape: number, ran: number] => {
      let [y, ran] = [x, 0];
      for (let i = 0; i < depth; i++) y = relu(y);
      const tape = tapeOf(y).length;
      observe(() => ran++, () => expect(list(grad(sum(y), [x])[0])).toEqual([1])); // prettier-ignore
      return [tape, ran];
    };
    const [[tape1, ran1], [tape2, ran2]] = [count(1000), count(100_000)];
    expect([tape1, tape2]).toEqual([1000, 100_000]);
    expect((ran2 - ran1) / (tape2 - tape1)).toBe(1);
  });

  test('a diamond of 60 floors is walked once a floor, not once a path', () => {
    let y = param([1]);
    const x = y;
    for (let i = 0; i < 60; i++) y = sub(mul(y, 2), y); // 2^60 paths
    let ran = 0;
    observe(() => ran++, () => expect(list(grad(sum(y), [x])[0])).toEqual([1])); // prettier-ignore
    expect(ran).toBeLessThan(60 * 5);
  });
});

test('only the first of several results has a gradient; the others say so', () => {
  const twoFaced = defineOp<object>({
    name: 'twoFaced',
    domain: () => ({ inputs: [{ shape: [2] }], attrs: {} }),
    out: ([x]) => [x, x].map(({ shape, dtype }) => ({ shape, dtype })),
    compose: ([x]) => [mul(x, 2), mul(x, 3)],
    vjp: ({ g }) => mul(g, 2),
  });
  const x = param([1, 2]);
  expect(list(grad(sum(applyAll(twoFaced, [x], {})[0]), [x])[0])).toEqual([2, 2]);
  const message = 'grad: twoFaced can be differentiated through its first result alone';
  expect(() => grad(sum(applyAll(twoFaced, [x], {})[1]), [x])).toThrow(message);
});

test('an op of a user, from one literal', () => {
  const square = defineOp<object>({
    name: 'square',
    domain: () => ({ inputs: [{ shape: [2] }], attrs: {} }),
    out: ([x]) => [{ shape: x.shape, dtype: x.dtype }],
    compose: ([x]) => mul(x, x),
    vjp: ({ g, x }) => mul(g, mul(x[0], 2)),
  });
  const x = param([3, 4]);
  expect(list(grad(sum(apply(square, [x], {})), [x])[0])).toEqual([6, 8]);
  expect(
    list(mean(div(apply(square, [expand(gather(x, tensor([0], { dtype: 'i32' })), [2])], {}), 3))),
  ).toEqual([3]);
});
