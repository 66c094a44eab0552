/** DoRA: rows of W + s B A with lengths of their own. https://arxiv.org/abs/2402.09353 */
import { add, detach, div, eq, mul, noGrad, scope, sqrt, sub, sum, type Tensor, where } from '@bax/core';

/** The length of each row: [out, in] → [out]. */
export const rowNorms = (matrix: Tensor): Tensor => sqrt(sum(mul(matrix, matrix), -1));

/**
 * f = m/‖V‖ [out] for V = W + s B A [out, in], by which each row of V is multiplied. The norm has no gradient (§4.3 of the
 * paper). Where m is the norm itself f is 1 to the bit, also on devices that do not divide exactly; a row of zeros stays one.
 */
export function doraFactor(magnitude: Tensor, matrix: () => Tensor): Tensor {
  const norm = scope(() =>
    noGrad(() => {
      const n = rowNorms(matrix());
      return where(eq(n, 0), 1, n);
    }),
  );
  const quotient = div(magnitude, norm);
  return add(quotient, detach(where(eq(magnitude, norm), sub(1, quotient), 0)));
}
