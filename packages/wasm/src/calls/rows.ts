import { bytesOf, collapse, isContiguous, sizeOf, type View } from '@bax/core';
import type { Machine } from '../machine.ts';
import { addressOf } from '../memory.ts';
import { withFitting } from './borrow.ts';

/** A tensor as rows of n f32 elements that lie side by side, `step` bytes apart. */
export interface Rows {
  readonly at: number;
  readonly step: number;
  readonly count: number;
  readonly n: number;
}

/** Where a view's first element is. */
export const addressIn = (v: View): number => addressOf(v.buffer) + v.offset * bytesOf(v.buffer.type);

export const allF32 = (...views: readonly View[]): boolean => views.every((v) => v.buffer.type === 'f32');

/** Calls `f` with each view as rows along its last axis; a view that has none is copied first. */
export function withRows(machine: Machine, views: readonly View[], f: (...rows: Rows[]) => void): void {
  withFitting(
    machine,
    views,
    (...held) => f(...held.map(rowsOf)),
    (v) => rowStep(v) !== undefined,
  );
}

/** Elements from one row to the next, if the rows are evenly spaced and each lies in one piece. */
function rowStep({ shape, strides }: View): number | undefined {
  if (shape.at(-1) !== 1 && strides.at(-1) !== 1) return undefined;
  const rows = collapse(shape.slice(0, -1), [strides.slice(0, -1)]);
  return rows.shape.length > 1 ? undefined : (rows.strides[0][0] ?? shape.at(-1) ?? 1);
}

function rowsOf(v: View): Rows {
  const n = v.shape.at(-1) ?? 1;
  const step = isContiguous(v) ? n : rowStep(v)!;
  return {
    at: addressIn(v),
    step: step * bytesOf(v.buffer.type),
    count: n === 0 ? 0 : sizeOf(v.shape) / n,
    n,
  };
}
