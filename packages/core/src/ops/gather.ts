import { checkShape } from '../create.ts';
import * as e from '../expr.ts';
import { apply, defineOp, type Op } from '../op.ts';
import { sameShape, showShape } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { fail, like, wantIndex } from './check.ts';

/** Shares its name with PyTorch's embedding rather than its gather: whole rows are taken. */
export const gatherOp: Op<object> = defineOp({
  name: 'gather',
  widens: [0],
  domain: (draw) => {
    const table = draw.shape([1, 3]);
    return {
      inputs: [{ shape: table }, { shape: draw.shape([0, 2]), dtype: 'i32', range: [0, table[0]! - 1] }],
      attrs: {},
    };
  },
  out([table, index]) {
    wantIndex('gather', index!, 'index');
    if (table!.rank < 1) fail('gather', 'the table is a scalar and has no rows');
    return like(table!, [...index!.shape, ...table!.shape.slice(1)]);
  },
  run: (backend, [table, index], [out]) => backend.gather(table!, index!, out!),
  vjp: ({ g, x, index }) => (index === 0 ? scatterAdd(x[0]!.shape[0]!, x[1]!, g) : undefined),
});

/** Rows of a table: table [n, ...rest] and index (i32) [...i] → [...i, ...rest]. An index outside of the table is an error. */
export const gather = (table: Tensor, index: Tensor): Tensor => apply(gatherOp, [table, index], {});

export const scatterAddOp: Op<{ rows: number }> = defineOp({
  name: 'scatterAdd',
  domain: (draw) => {
    const rows = draw.integer(1, 5);
    const index = draw.shape([0, 2]);
    return {
      inputs: [
        { shape: index, dtype: 'i32', range: [0, rows - 1] },
        { shape: [...index, ...draw.shape([0, 2])] },
      ],
      attrs: { rows },
    };
  },
  out([index, values], { rows }) {
    wantIndex('scatterAdd', index!, 'index');
    checkShape('scatterAdd', [rows]);
    if (!sameShape(values!.shape.slice(0, index!.rank), index!.shape))
      fail(
        'scatterAdd',
        `values ${showShape(values!.shape)} do not start with the shape of index ${showShape(index!.shape)}`,
      );
    return like(values!, [rows, ...values!.shape.slice(index!.rank)]);
  },
  run(backend, [index, values], [out]) {
    backend.map(e.scalarFn(out!.buffer.type as 'f32', 0, 0, [e.constant(0)]), [], [out!], []);
    backend.scatterAdd(index!, values!, out!);
  },
  vjp: ({ g, x, index }) => (index === 1 ? gather(g, x[0]!) : undefined),
});

/** A table of zeros [rows, ...rest] to which row `values[...i]` is added at `index[...i]`, repeated indices in their order. */
export const scatterAdd = (rows: number, index: Tensor, values: Tensor): Tensor =>
  apply(scatterAddOp, [index, values], { rows });
