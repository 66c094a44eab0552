import {
  expandView,
  type FusedKernel,
  type LoraLinearAttrs,
  permuteView,
  reshapeView,
  sizeOf,
  sliceView,
  type View,
} from '@bax/core';
import type { Machine } from '../machine.ts';
import { withFresh } from './borrow.ts';
import { matmul } from './matmul.ts';
import { copyInto } from './map.ts';
import { allF32 } from './rows.ts';

/** W x + b + s B (A z), the branches added to their outputs in place. */
export const loraLinear = (machine: Machine): Record<string, FusedKernel> => ({
  loraLinear(inputs, [y], attrs) {
    const { places } = attrs as LoraLinearAttrs;
    const [x, weight] = inputs;
    const bias = inputs[2 + 3 * places.length];
    const [out, k] = weight.shape;
    const n = sizeOf(x.shape.slice(0, -1));
    const into = reshapeView(y, [n, out]);
    const flat = (v: View): View | undefined => reshapeView(v, [n, k]);
    const rows = [x, ...places.map((_, i) => inputs[2 + 3 * i])].map(flat);
    if (!allF32(x) || !into || rows.includes(undefined)) return false;

    if (bias) copyInto(machine, expandView(bias, into.shape), 'f32', into);
    matmul(machine, rows[0]!, permuteView(weight, [1, 0]), into, { accumulate: bias !== undefined });
    places.forEach(({ start, length, scale }, i) => {
      const [A, B] = [inputs[3 + 3 * i], inputs[4 + 3 * i]];
      // A z
      withFresh(machine, [n, A.shape[0]], 'f32', (low) => {
        matmul(machine, rows[1 + i]!, permuteView(A, [1, 0]), low);
        const part = sliceView(into, 1, start, length);
        matmul(machine, low, permuteView(B, [1, 0]), part, { scale, accumulate: true });
      });
    });
    return true;
  },
}); // prettier-ignore
