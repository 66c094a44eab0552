import {
  add, argmax, attention, type Backend, BaxError, crossEntropy, dropout, exp, grad, keep, key, linear, logSumExp, matmul, max, mean, min, mul,
  noGrad, ones, pad, randn, relu, reshape, scope, setBackend, softmax, stack, sum, type Tensor, tensor, transpose, valueAndGrad, variance, zeros,
} from '@bax/core'; // prettier-ignore
import { cpu } from '@bax/cpu';
import { beforeEach, describe, expect, test } from 'vitest';

let backend: Backend;
beforeEach(() => setBackend((backend = cpu())));
const live = (): number => backend.memory().live;
const KB = 256; // a tensor of 256 f32 is 1 KiB
const block = (): Tensor => zeros([KB]);

describe('scope', () => {
  test('frees what it made but what it returns, alone or inside arrays, objects and maps', () => {
    const x = block();
    const out = scope(() => {
      const [a, b, c, d] = [block(), block(), block(), block()];
      add(a, b);
      return { a, list: [b, { c }], map: new Map([['d', d]]), n: 1, none: undefined };
    });
    expect(live()).toBe(5 * 1024);
    expect([out.a, out.list[0] as Tensor, out.map.get('d')!, x].some((t) => t.freed)).toBe(false);
  });

  test('what one returns belongs to the scope around it', () => {
    const out = scope(() => {
      const inner = scope(() => [block(), block()]);
      expect(live()).toBe(2 * 1024);
      return inner[0];
    });
    expect([live(), out.freed]).toEqual([1024, false]);
  });

  test('keep is an exemption from all scopes', () => {
    const kept = scope(() => scope(() => keep(block())));
    expect([live(), kept.freed]).toEqual([1024, false]);
    scope(() => void keep(block()));
    expect(live()).toBe(2 * 1024);
    kept.dispose();
    expect(live()).toBe(1024);
  });

  test('what was made outside is left alone', () => {
    const x = block();
    expect(scope(() => x)).toBe(x);
    expect([live(), x.freed]).toEqual([1024, false]);
  });

  test('if it throws, all is freed but what was kept', () => {
    expect(() => scope(() => {
      block();
      keep(block());
      throw new Error('on purpose');
    })).toThrow('on purpose'); // prettier-ignore
    expect(live()).toBe(1024);
    const outer = scope(() => block()); // the broken scope is closed
    expect([outer.freed, live()]).toEqual([false, 2 * 1024]);
  });

  test('a promise is refused, and what was made is freed', () => {
    const message =
      'scope: a scope is synchronous; await outside of it and open one around each synchronous part';
    expect(() => scope(async () => block())).toThrow(new BaxError(message));
    expect(live()).toBe(0);
  });

  test('a tensor with its tape is refused: the tape needs what is freed', () => {
    const w = tensor([1, 2], { requiresGrad: true });
    const message =
      'scope: a returned tensor still has its tape; call grad inside the scope, or return detach(x)';
    expect(() => scope(() => mul(w, w))).toThrow(new BaxError(message));
    expect(scope(() => mul(w, w).detach()).peek()).toEqual(Float32Array.of(1, 4));
    const y = mul(w, w);
    expect(scope(() => y)).toBe(y); // its tape is older than the scope
  });

  test('using a tensor afterwards names the reason', () => {
    let leaked: Tensor | undefined;
    scope(() => void (leaked = block()));
    expect(() => exp(leaked!)).toThrow(
      'exp: this tensor was freed when its scope ended; return it from scope() or keep() it',
    );
  });
});

describe('functions made of several ops leave nothing but their result', () => {
  const x = (): Tensor => randn([2, 3, 4], { key: 1 });
  const heads = (): Tensor => randn([1, 2, 3, 4], { key: 1 });
  const functions: Record<string, [make: () => Tensor[], f: (...xs: Tensor[]) => Tensor]> = {
    sum: [() => [x()], (a) => sum(a)],
    'max of an axis': [() => [x()], (a) => max(a, 1)],
    min: [() => [x()], (a) => min(a, 0)],
    mean: [() => [x()], (a) => mean(a, [0, 2])],
    variance: [() => [x()], (a) => variance(a, -1)],
    logSumExp: [() => [x()], (a) => logSumExp(a, 1)],
    argmax: [() => [x()], (a) => argmax(a, 1)],
    'a reshape that copies': [() => [x()], (a) => reshape(transpose(a), [6, 4])],
    stack: [() => [x(), x()], (a, b) => stack([a, b], 1)],
    'linear of a view': [() => [x(), ones([5, 3]), ones([5])], (a, w, b) => linear(transpose(a), w, b)],
    dropout: [() => [x()], (a) => dropout(a, { p: 0.5, key: key(1) })],
    attention: [() => [heads(), heads(), heads()], (q, k, v) => attention(q, k, v, { causal: true })],
    'attention with bias and dropout': [
      () => [heads(), heads(), heads(), ones([3, 3])],
      (q, k, v, bias) => attention(q, k, v, { causal: true, bias, dropout: { p: 0.5, key: key(1) } }),
    ],
    crossEntropy: [() => [ones([2, 3]), tensor([0, 1], { dtype: 'i32' })], (a, t) => crossEntropy(a, t)],
    'numbers as arguments': [() => [x()], (a) => add(1, a)],
    pad: [() => [x()], (a) => pad(a, 0, 1, 1)],
  };
  test.each(Object.entries(functions))('%s', (_, [make, f]) => {
    scope(() => void f(...make())); // the constants that stay
    const inputs = make();
    const before = live();
    const y = noGrad(() => f(...inputs));
    y.dispose();
    expect(live()).toBe(before);
  });
});

describe('grad frees as it walks', () => {
  /** `depth` activations of 1 KiB each. */
  const chain = (x: Tensor, depth: number): Tensor => {
    for (let i = 0; i < depth; i++) x = relu(x);
    return sum(x);
  };

  test('the forward pass holds each activation once; the backward walk never more than three further blocks', () => {
    const w = tensor(new Float32Array(KB).fill(1), { requiresGrad: true });
    scope(() => void grad(chain(w, 1), [w]));
    const start = live();
    const loss = chain(w, 20);
    expect(live() - start).toBe(20 * 1024 + 4);
    const fresh = cpu();
    const w2 = tensor(new Float32Array(KB).fill(1), { requiresGrad: true, backend: fresh });
    const loss2 = chain(w2, 20);
    const before = fresh.memory();
    const [g] = grad(loss2, [w2]);
    const after = fresh.memory();
    expect(before.peak).toBe(21 * 1024 + 4);
    // At the top of the walk: g of the sum is an expanded constant, so one block for its first gradient; then one comes
    // as one goes. Freeing at the end would need 20 more.
    expect(after.peak - before.peak).toBeLessThanOrEqual(2 * 1024);
    expect(g.peek()).toEqual(new Float32Array(KB).fill(1));
    expect(after.live).toBe(2 * 1024 + 4 + 4); // w, its gradient, the loss, the constant 1
    loss.dispose();
  });

  test('retain keeps the activations; a second grad frees them', () => {
    const w = tensor(new Float32Array(KB).fill(1), { requiresGrad: true });
    scope(() => void grad(chain(w, 1), [w]));
    const start = live();
    const loss = chain(w, 5);
    grad(loss, [w], { retain: true })[0].dispose();
    expect(live() - start).toBe(5 * 1024 + 4);
    grad(loss, [w])[0].dispose();
    loss.dispose();
    expect(live() - start).toBe(0);
  });

  test('gradients are freed on the way too: with all activations retained, the walk holds two blocks', () => {
    const own = cpu();
    const w = tensor(new Float32Array(KB).fill(1), { requiresGrad: true, backend: own });
    scope(() => void grad(chain(w, 1), [w]));
    const loss = chain(w, 20);
    const fill = zeros([10 * KB], { backend: own }); // above whatever the warm-up reached
    const start = own.memory().live;
    expect(own.memory().peak).toBe(start);
    grad(loss, [w], { retain: true });
    expect(own.memory().peak - start).toBe(2 * 1024);
    fill.dispose();
  });

  test('a kept activation stays, the loss too', () => {
    const w = tensor(new Float32Array(KB).fill(1), { requiresGrad: true });
    const h = keep(exp(w));
    const loss = sum(mul(h, h));
    const [g] = grad(loss, [w]);
    expect([h.freed, loss.freed, g.freed, h.record, loss.record]).toEqual([
      false,
      false,
      false,
      undefined,
      undefined,
    ]);
  });

  test('an activation freed by grad says so', () => {
    const w = tensor([1, 2], { requiresGrad: true });
    const h = exp(w);
    grad(sum(h), [w]);
    expect(() => exp(h)).toThrow(
      'exp: this tensor was freed by grad() after its last use; keep() it before, or pass { retain: true }',
    );
  });

  test('the gradient of a frozen weight is neither computed nor held', () => {
    const [x, frozen] = [zeros([4, 64], { requiresGrad: true }), zeros([256, 64])];
    const y = linear(x, frozen);
    const before = backend.memory();
    const [g] = grad(y, [x], { cotangent: ones([4, 256]) });
    expect(g.shape).toEqual([4, 64]);
    expect(backend.memory().peak - before.live).toBeLessThan(frozen.bytes / 4);
  });

  test('valueAndGrad leaves the value and the gradients', () => {
    const [w, b] = [zeros([KB]), zeros([KB])];
    valueAndGrad(() => sum(mul(add(w, b), w)), [w, b]).grads.forEach((g) => g.dispose());
    const before = live();
    const { value, grads } = valueAndGrad(() => sum(softmax(mul(add(w, b), w))), [w, b]);
    expect(live() - before).toBe(4 + 2 * 1024);
    expect([value.shape, value.tracked, grads.map((g) => g.shape), w.requiresGrad]).toEqual([
      [],
      false,
      [[KB], [KB]],
      false,
    ]);
  });
});

test('the peak of a matmul chain is lower with early freeing than with retain', () => {
  const peak = (retain: boolean): number => {
    const own = cpu();
    const options = { backend: own, requiresGrad: true };
    const w = randn([32, 32], { ...options, key: 1, std: 0.1 });
    let x: Tensor = ones([32, 32], { backend: own });
    for (let i = 0; i < 10; i++) x = relu(matmul(x, w));
    grad(sum(x), [w], { retain });
    return own.memory().peak;
  };
  const matrix = 32 * 32 * 4;
  expect(peak(true) - peak(false)).toBeGreaterThanOrEqual(0);
  // 2 weights or inputs, 20 activations; backward: the gradient so far, a product to add to it, its sum, and g.
  expect(peak(false)).toBeLessThanOrEqual(26 * matrix + 64);
});
