import { BaxError, currentPath, grad, matmul, ones, setBackend, sum, type Tensor, within } from '@bax/core';
import { cpu } from '@bax/cpu';
import { beforeEach, expect, test } from 'vitest';

beforeEach(() => setBackend(cpu()));
const bad = (): Tensor => matmul(ones([2, 3]), ones([4, 5]));

test('an error names the innermost module, in its message and in its stack', () => {
  const message =
    'matmul: inner dimensions differ: a [2, 3] x b [4, 5]  (3 != 4)\n  at transformer.h.1.attn.c_attn';
  const caught = (): unknown => {
    try {
      return within('transformer.h.1', () => within('transformer.h.1.attn.c_attn', bad));
    } catch (error) {
      return error;
    }
  };
  const error = caught() as BaxError;
  expect([error.name, error.message]).toEqual(['BaxError', message]);
  expect(error).toBeInstanceOf(BaxError);
  expect(error.stack).toContain('at transformer.h.1.attn.c_attn');
});

test('outside of any module there is no path; the path ends with the module, also by an error', () => {
  expect(bad).toThrow(new BaxError('matmul: inner dimensions differ: a [2, 3] x b [4, 5]  (3 != 4)'));
  expect(within('a', () => within('', () => currentPath()))).toBe('a');
  expect(() => within('a', bad)).toThrow();
  expect(currentPath()).toBe('');
  expect(new BaxError('x', { cause: 7 }).cause).toBe(7);
});

test('the backward walk names the module that ran forward', () => {
  const w = ones([2, 2], { requiresGrad: true });
  const loss = within('h.0', () => sum(matmul(w, w)));
  w.dispose();
  expect(() => grad(loss, [w])).toThrow('this tensor was freed by dispose()\n  at h.0');
});
