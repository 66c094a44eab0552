import { expr } from '@bax/core';
import type { Expr, ScalarFn } from '@bax/core';
import { cpu } from '@bax/cpu';
import { describe, expect, it } from 'vitest';
import { ints, make, valuesOf } from './support.ts';

const { add, input, mul } = expr;

describe('map', () => {
  it('rounds every node: the same bits fused as in parts', () => {
    const backend = cpu();
    const shape = [1000];
    const value = (i: number): number => ints(3, 32767)(i) / 3000;
    const [x, y] = [make(backend, shape, 'f32', value), make(backend, shape, 'f32', (i) => value(i + 1000))];
    const [whole, parts, e] = [1, 2, 3].map(() => make(backend, shape, 'f32', () => 0));
    const f = (e: Expr): ScalarFn => expr.scalarFn('f32', 2, 0, [e]);
    const all = mul(expr.tanh(add(mul(input(0), 0.1), input(1))), expr.exp(input(0)));
    backend.map(f(all), [x, y], [whole], []);
    backend.map(f(mul(input(0), 0.1)), [x, y], [parts], []);
    backend.map(f(add(input(0), input(1))), [parts, y], [parts], []);
    backend.map(f(expr.tanh(input(0))), [parts, y], [parts], []);
    backend.map(f(expr.exp(input(0))), [x, y], [e], []);
    backend.map(f(mul(input(0), input(1))), [parts, e], [parts], []);
    expect(valuesOf(backend, whole)).toEqual(valuesOf(backend, parts));
  });

  it('converts as JavaScript does, beyond i32 too', () => {
    const backend = cpu();
    const numbers = [7e9, -7e9, 2 ** 31, NaN, 0.1];
    const x = make(backend, [5], 'f64', (i) => numbers[i]);
    const out = make(backend, [5], 'i32', () => 9);
    backend.map(expr.scalarFn('f64', 1, 0, [input(0)]), [x], [out], []);
    expect(valuesOf(backend, out)).toEqual(numbers.map((v) => v | 0));
  });

  it('refuses what it cannot do', () => {
    const backend = cpu();
    const half = make(backend, [1], 'f16', () => 0);
    const whole = make(backend, [1], 'i32', () => 1);
    const copy = expr.scalarFn('f32', 1, 0, [input(0)]);
    expect(() => backend.map(copy, [half], [half], [])).toThrow('cpu: map cannot write f16');
    const exp = expr.scalarFn('i32', 1, 0, [expr.exp(input(0))]);
    expect(() => backend.map(exp, [whole], [whole], [])).toThrow('cpu: exp is not defined for i32');
  });
});
