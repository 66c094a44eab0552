/** Views against the plainest model of one: the list of places that it reads, in row-major order. */
import { drawer, drawLayout, openLayout, plainLayout } from '@bax/check';
import {
  arange,
  expand,
  isContiguous,
  type Shape,
  permute,
  reshape,
  setBackend,
  sizeOf,
  slice,
  type Tensor,
  transpose,
} from '@bax/core';
import { cpu } from '@bax/cpu';
import fc from 'fast-check';
import { beforeEach, expect, test } from 'vitest';
import { runs } from '../support/runs.ts';

beforeEach(() => setBackend(cpu()));

/** Where each element lies, row-major. */
function places({ view: { shape, strides, offset } }: Tensor): number[] {
  let list = [offset];
  shape.forEach(
    (n, axis) => (list = list.flatMap((at) => Array.from({ length: n }, (_, i) => at + i * strides[axis]))),
  );
  return list;
}
/** 0, 1, 2, … seen through a random layout: its values are its places. */
function randomView(g: fc.GeneratorValue): Tensor {
  const draw = drawer(g);
  const shape = draw.shape();
  const layout = drawLayout(draw, shape, true);
  const outer = layout.order.map(
    (a) => layout.before[a] + (layout.repeat[a] ? 1 : shape[a]) + layout.after[a],
  );
  return openLayout(reshape(arange(sizeOf(outer)), outer), shape, layout);
}
const check = (law: (x: Tensor, g: fc.GeneratorValue) => void): void =>
  fc.assert(
    fc.property(fc.gen(), (g) => {
      law(randomView(g), g);
    }),
    runs(500),
  );

test('a view shows what lies at its places', async () => {
  await fc.assert(fc.asyncProperty(fc.gen(), async (g) => {
    const x = randomView(g);
    expect([...(await x.data())]).toEqual(places(x));
    expect([...x.peek()!]).toEqual(places(x));
  }), runs(100)); // prettier-ignore
});

test('isContiguous: whether the places are consecutive', () => {
  check((x) => expect(isContiguous(x.view)).toBe(places(x).every((at, i) => at === x.view.offset + i)));
});

/** A shape of as many elements, by cutting and joining. */
function otherShape(g: fc.GeneratorValue, size: number): number[] {
  const shape: number[] = [];
  for (let rest = size; rest > 1; rest /= shape.at(-1)!) {
    const divisors = Array.from({ length: rest }, (_, i) => i + 1).filter((d) => rest % d === 0);
    shape.push(divisors[g(fc.nat, divisors.length - 1)]);
    if (shape.length > 4) {
      shape.push(rest / shape.at(-1)!);
      break;
    }
  }
  return shape;
}
/** Whether places that are listed row-major for `shape` are those of some strides. */
function isStrided(list: readonly number[], shape: Shape): boolean {
  const step = shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
  const strides = shape.map((n, axis) => (n > 1 ? list[step[axis]] - list[0] : 0));
  return list.every(
    (at, i) =>
      at ===
      list[0] + shape.reduce((sum, n, axis) => sum + (Math.floor(i / step[axis]) % n) * strides[axis], 0),
  );
}

test('reshape keeps the order, and copies exactly where no strides would do', () => {
  let [views, copies] = [0, 0];
  check((x, g) => {
    const shape = otherShape(g, x.size);
    const y = reshape(x, shape);
    expect(y.shape).toEqual(shape);
    expect([...y.peek()!]).toEqual([...x.peek()!]);
    const shares = y.view.buffer === x.view.buffer;
    expect(shares).toBe(isStrided(places(x), shape));
    if (shares) views++;
    else copies++;
  });
  expect(Math.min(views, copies)).toBeGreaterThan(50); // both happen
});

test('reshape infers one length', () => {
  check((x) => {
    expect(reshape(x, [-1]).shape).toEqual([x.size]);
    expect(reshape(x, [1, -1, 1]).shape).toEqual([1, x.size, 1]);
    expect(reshape(x, x.shape)).toBe(x);
  });
});

test('permute moves axes; twice with the inverse is nothing', () => {
  check((x, g) => {
    const axes = g(fc.shuffledSubarray, x.shape.map((_, i) => i), { minLength: x.rank, maxLength: x.rank }); // prettier-ignore
    const y = permute(x, axes);
    expect(y.shape).toEqual(axes.map((a) => x.shape[a]));
    const element = (t: Tensor, index: readonly number[]): number =>
      index.reduce((at, i, axis) => at + i * t.view.strides[axis], t.view.offset);
    const index = y.shape.map((n) => g(fc.nat, n - 1));
    expect(element(y, index)).toBe(element(x, axes.map((_, i) => index[axes.indexOf(i)]))); // prettier-ignore
    const back = permute(y, axes.map((_, i) => axes.indexOf(i))); // prettier-ignore
    expect(places(back)).toEqual(places(x));
  });
});

test('slice takes a range of one axis', () => {
  check((x, g) => {
    if (x.rank === 0) return;
    const axis = g(fc.nat, x.rank - 1);
    const [from, to] = [g(fc.nat, x.shape[axis]), g(fc.nat, x.shape[axis])].sort((a, b) => a - b);
    const y = slice(x, axis, from, to);
    const inner = sizeOf(x.shape.slice(axis + 1));
    const chosen = places(x).filter((_, i) => {
      const at = Math.floor(i / inner) % x.shape[axis];
      return from <= at && at < to;
    });
    expect(places(y)).toEqual(chosen);
    if (to > from) expect(places(slice(x, axis - x.rank, from - x.shape[axis], to))).toEqual(chosen);
  });
});

test('expand repeats', () => {
  check((x) => {
    const y = expand(x, [2, ...x.shape]);
    expect(places(y)).toEqual([...places(x), ...places(x)]);
    expect(expand(x, x.shape)).toBe(x);
  });
});

test('transpose exchanges the last two axes, or two named ones', () => {
  const x = reshape(arange(24), [2, 3, 4]);
  expect([transpose(x).shape, transpose(x, 0, 2).shape, transpose(x, 0).shape]).toEqual([
    [2, 4, 3],
    [4, 3, 2],
    [4, 3, 2],
  ]);
  expect(transpose(x).view.strides).toEqual([12, 1, 4]);
});

test('an empty tensor may be reshaped and permuted', () => {
  const x = reshape(arange(0), [2, 0, 3]);
  expect(reshape(permute(x, [2, 1, 0]), [0, 7]).shape).toEqual([0, 7]);
  expect(plainLayout(x.shape).repeat).toEqual([false, false, false]);
});
