import { at, matrix, type Matrix, scaled } from '../linalg/index.ts';
import type { LoraBranch } from './branch.ts';

/** s B and A on the host, what was taken out of W among them. */
export async function productOf(branch: LoraBranch): Promise<{ B: Matrix; A: Matrix }> {
  const parts = await Promise.all(
    branch.products(1).map(async ({ A, B, scale }) => ({
      A: matrix(A.shape[0]!, A.shape[1]!, await A.data()),
      B: scaled(matrix(B.shape[0]!, B.shape[1]!, await B.data()), scale),
    })),
  );
  const [first, second] = parts;
  if (!second) return first!;
  const r = first!.A.rows;
  return {
    A: matrix(2 * r, first!.A.columns, (i, j) => (i < r ? at(first!.A, i, j) : at(second.A, i - r, j))),
    B: matrix(first!.B.rows, 2 * r, (i, j) => (j < r ? at(first!.B, i, j) : at(second.B, i, j - r))),
  };
}
