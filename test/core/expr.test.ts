import { expr as e, type Expr } from '@bax/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { evaluate } from '../support/expr.ts';
import { runs } from '../support/runs.ts';

const [x, y] = [e.input(0), e.input(1)];

/** Every function, written in two variables, with a range in which it is smooth. */
const functions: Record<e.Fn, { f: Expr; low: number; high: number }> = {
  add: { f: e.add(x, e.mul(3, y)), low: -2, high: 2 },
  sub: { f: e.sub(e.mul(x, y), y), low: -2, high: 2 },
  mul: { f: e.mul(x, x, y), low: -2, high: 2 },
  div: { f: e.div(x, y), low: 0.5, high: 2 },
  neg: { f: e.neg(e.mul(x, y)), low: -2, high: 2 },
  abs: { f: e.mul(e.abs(x), y), low: 0.1, high: 2 },
  min: { f: e.mul(e.min(e.mul(x, y), e.add(x, 9)), e.min(e.add(y, 9), e.mul(x, y))), low: -2, high: 2 },
  max: { f: e.mul(e.max(e.mul(x, y), e.sub(x, 9)), e.max(e.sub(y, 9), e.mul(x, y))), low: -2, high: 2 },
  pow: { f: e.pow(x, y), low: 0.2, high: 2 },
  floor: { f: e.mul(x, e.floor(y)), low: 1.1, high: 1.9 },
  exp: { f: e.exp(e.mul(x, y)), low: -2, high: 2 },
  log: { f: e.log(e.mul(x, y)), low: 0.2, high: 2 },
  sqrt: { f: e.sqrt(e.add(x, y)), low: 0.2, high: 2 },
  tanh: { f: e.tanh(e.mul(x, y)), low: -2, high: 2 },
  sigmoid: { f: e.sigmoid(e.mul(x, y)), low: -2, high: 2 },
  sin: { f: e.sin(e.mul(x, y)), low: -2, high: 2 },
  cos: { f: e.cos(e.mul(x, y)), low: -2, high: 2 },
  erf: { f: e.erf(e.mul(x, y)), low: -1.5, high: 1.5 },
  lt: { f: e.mul(x, e.lt(x, 3)), low: -2, high: 2 },
  le: { f: e.mul(y, e.le(x, 3)), low: -2, high: 2 },
  eq: { f: e.add(y, e.eq(x, 9)), low: -2, high: 2 },
  select: { f: e.select(e.lt(3, x), e.mul(x, y), e.mul(x, x)), low: -2, high: 2 },
  ushr: { f: e.mul(x, e.ushr(e.constant(8), e.constant(1))), low: -2, high: 2 },
};

describe.each(Object.entries(functions))('%s', (_, { f, low, high }) => {
  test('its derivative = central differences', () => {
    const value = fc.double({ min: low, max: high, noNaN: true });
    fc.assert(fc.property(value, value, (a, b) => {
      const h = 1e-5;
      const [da, db] = [evaluate(e.derivative(f, 0), [a, b]), evaluate(e.derivative(f, 1), [a, b])];
      const numeric = (i: number): number => {
        const at = (t: number): number => evaluate(f, i === 0 ? [a + t, b] : [a, b + t]);
        return (at(h) - at(-h)) / (2 * h);
      };
      expect(Math.abs(da - numeric(0))).toBeLessThan(1e-7 * Math.max(1, Math.abs(da)));
      expect(Math.abs(db - numeric(1))).toBeLessThan(1e-7 * Math.max(1, Math.abs(db)));
    }), runs(100)); // prettier-ignore
  });
});

test('at ties and kinks', () => {
  const at = (f: Expr, ...values: number[]): number[] =>
    values.map((_, i) => evaluate(e.derivative(f, i), values));
  expect(at(e.max(x, y), 1, 1)).toEqual([0.5, 0.5]);
  expect(at(e.min(x, y), 1, 1)).toEqual([0.5, 0.5]);
  expect(at(e.abs(x), 0)).toEqual([0]);
  expect(at(e.pow(x, y), 0, 0)).toEqual([0, 0]);
  expect(at(e.pow(x, y), 0, 2)).toEqual([0, 0]);
  expect(at(e.pow(x, y), 0, 1)).toEqual([1, 0]);
});

/** Random expressions, as their building blocks and not yet simplified. */
const programs = fc.array(
  fc.record({ f: fc.constantFrom('add', 'sub', 'mul', 'neg', 'select', 'max'), a: fc.nat(), b: fc.nat() }),
  { minLength: 1, maxLength: 10 },
);
const leaves = [x, y, e.constant(0), e.constant(1), e.constant(-1), e.constant(2)];

test('simplifying changes no value', () => {
  fc.assert(fc.property(programs, fc.integer({ min: -3, max: 3 }), fc.integer({ min: -3, max: 3 }), (steps, a, b) => {
    const nodes = [...leaves];
    const numbers = [a, b, 0, 1, -1, 2];
    for (const step of steps) {
      const [i, j] = [step.a % nodes.length, step.b % nodes.length];
      const [p, q, u, v] = [nodes[i], nodes[j], numbers[i], numbers[j]];
      const [node, number] = {
        add: () => [e.add(p, q), u + v] as const,
        sub: () => [e.sub(p, q), u - v] as const,
        mul: () => [e.mul(p, q), u * v] as const,
        neg: () => [e.neg(p), -u] as const,
        select: () => [e.select(e.lt(p, q), p, q), u < v ? u : v] as const,
        max: () => [e.max(p, q), Math.max(u, v)] as const,
      }[step.f as 'add']();
      nodes.push(node);
      numbers.push(number);
    }
    expect(evaluate(nodes.at(-1)!, [a, b]) + 0).toBe(numbers.at(-1)! + 0);
  }), runs(100)); // prettier-ignore
});

test('equal expressions are one object; zeros and ones vanish', () => {
  expect(e.add(x, y)).toBe(e.add(x, y));
  expect(e.add(x, y)).not.toBe(e.add(y, x));
  expect([
    e.add(x, 0),
    e.add(0, x),
    e.mul(x, 1),
    e.mul(1, x),
    e.sub(x, 0),
    e.div(x, 1),
    e.neg(e.neg(x)),
    e.select(y, x, x),
  ]).toEqual(new Array(8).fill(x));
  expect([e.mul(x, 0), e.mul(0, x), e.div(0, x)].every((z) => z === e.constant(0))).toBe(true);
  expect([e.mul(-1, x), e.mul(x, -1), e.sub(0, x)].every((z) => z === e.neg(x))).toBe(true);
  expect(e.constant(-0)).not.toBe(e.constant(0));
  expect(e.scalarFn('f32', 1, 0, [e.exp(x)])).toBe(e.scalarFn('f32', 1, 0, [e.exp(x)]));
  expect(e.scalarFn('f32', 1, 0, [e.exp(x)])).not.toBe(e.scalarFn('f64', 1, 0, [e.exp(x)]));
});

test('a derivative shares what the function has computed', () => {
  const d = e.derivative(e.exp(e.tanh(x)), 0);
  expect(e.show(d)).toBe('((1 - (tanh(x0) * tanh(x0))) * exp(tanh(x0)))');
  expect(e.derivative(e.exp(y), 0)).toBe(e.constant(0));
  expect(e.derivative(e.lt(x, y), 0)).toBe(e.constant(0));
});

test('substitute composes; inputsOf lists', () => {
  const f = e.mul(x, e.add(y, 1));
  const composed = e.substitute(f, (leaf) => (leaf === y ? e.exp(e.input(4)) : leaf));
  expect(e.show(composed)).toBe('(x0 * (exp(x4) + 1))');
  expect(e.inputsOf(composed)).toEqual([0, 4]);
  expect(e.inputsOf(e.constant(1))).toEqual([]);
  expect(e.substitute(f, (leaf) => leaf)).toBe(f);
  // What becomes a constant is simplified on the way.
  expect(e.substitute(f, (leaf) => (leaf === x ? e.constant(0) : leaf))).toBe(e.constant(0));
});

test('show', () => {
  expect(e.show(e.select(e.lt(x, e.scalar(0)), e.div(x, 2), e.neg(y)))).toBe(
    'select((x0 < s0), (x0 / 2), neg(x1))',
  );
  expect(e.show(e.eq(x, y), (i) => 'ab'[i])).toBe('(a == b)');
});
