import type { TypedArray, View } from '@bax/core';
import { arrayOf } from './memory.ts';
import { offsetsOf } from './view.ts';

/** First simple version: each result walks over its elements. */
export function reduce(op: 'sum' | 'max', x: View, out: View): void {
  const source: TypedArray = arrayOf(x.buffer);
  const target = arrayOf(out.buffer);
  const kept = out.shape;
  const reduced = x.shape.map((length, axis) => (out.shape[axis] === length ? 1 : length));
  const starts = offsetsOf(kept, x.strides, x.offset);
  const places = offsetsOf(kept, out.strides, out.offset);
  const steps = offsetsOf(reduced, x.strides, 0);
  const wrap = out.buffer.type === 'i32';
  for (let i = 0; i < starts.length; i++) {
    let total = op === 'sum' ? 0 : -Infinity;
    for (let j = 0; j < steps.length; j++) {
      const value = source[starts[i] + steps[j]];
      if (op === 'sum') total = wrap ? (total + value) | 0 : total + value;
      else if (value > total || Number.isNaN(value)) total = value;
    }
    target[places[i]] = total;
  }
}
