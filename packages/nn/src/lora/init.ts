/** How A and B start; see `LoraInit`. */
import {
  BaxError, copy, foldIn, keep, type Key, noGrad, normals, rand, randn, slice, type Tensor, zeros,
} from '@bax/core'; // prettier-ignore
import { Embedding } from '../layers/embedding.ts';
import {
  at,
  firstColumns,
  matrix,
  type Matrix,
  qr,
  rowsOf,
  scaled,
  times,
  truncatedSvd,
  turned,
} from '../linalg/index.ts';
import type { BranchParts } from './branch.ts';
import { type LoraConfig, type LoraInit, loraScale } from './config.ts';
import { keptMatrix } from './host.ts';
import type { LoraPlanEntry } from './plan.ts';

/** A and B [r, in], [out, r] on the host. */
interface Factors {
  readonly A: Matrix;
  readonly B: Matrix;
}

/** A and B of a new branch, from a random key of its own for each target; for PiSSA and OLoRA from the layer's weight. */
export async function initialFactors(
  entry: LoraPlanEntry,
  { init, rslora }: Required<LoraConfig>,
  root: Key,
): Promise<BranchParts> {
  const { r, layer, in: k, out, alpha } = entry;
  const { dtype, backend } = layer.weight;
  const key = foldIn(root, entry.path);
  const options = { dtype, backend, key };
  const put = (m: Matrix): Tensor => keptMatrix(m, layer.weight);
  if (layer instanceof Embedding)
    return { A: keep(zeros([r, k], options)), B: keep(randn([out, r], options)) };
  switch (init) {
    case 'kaiming': {
      const edge = 1 / Math.sqrt(k);
      return { A: keep(rand([r, k], { ...options, low: -edge, high: edge })), B: keep(zeros([out, r], options)) };
    }
    case 'gaussian':
      return { A: keep(randn([r, k], { ...options, std: 1 / r })), B: keep(zeros([out, r], options)) };
    case 'orthogonal': {
      const { A, B } = orthogonal(r, k, out, key);
      return { A: put(A), B: put(B) };
    }
    case 'pissa':
    case 'olora': {
      const start = await takenFrom(entry, init, loraScale(alpha, r, rslora));
      const [A, B] = [put(start.A), put(start.B)];
      const [A0, B0] = noGrad(() => [keep(copy(A)), keep(copy(B))]);
      return { A, B, taken: { A: A0!, B: B0! } };
    }
  } // prettier-ignore
}

/** The part of its weight with which PiSSA or OLoRA begins, and which it takes out: s B A. */
export async function takenFrom(entry: LoraPlanEntry, init: LoraInit, s: number): Promise<Factors> {
  const W = await weightOf(entry);
  return init === 'pissa' ? pissa(W, entry.r, s) : olora(W, entry.r);
}

/** Its weight, or the rows of its slice: [out, in]. */
async function weightOf({ path, layer, slice: part, in: k, out }: LoraPlanEntry): Promise<Matrix> {
  const whole = layer.matrix;
  const rows = part ? slice(whole, 0, part.start, part.start + part.length) : whole;
  try {
    const values = await rows.data();
    if (!values.every(Number.isFinite))
      throw new BaxError(`lora: the weight of ${path} has an entry that is not finite, so no part of it can be taken out; look at the base`); // prettier-ignore
    return matrix(out, k, values);
  } finally {
    for (const view of new Set([rows, whole])) if (view !== layer.weight) view.dispose(); // else they hold its memory
  }
}

/** W's r largest singular directions: s B A = U_r S_r V_rᵀ. [PiSSA §3, eq. 2 and 3] */
export function pissa(W: Matrix, r: number, s: number): Factors {
  const { U, S, V } = truncatedSvd(W, r);
  const root = (j: number): number => Math.sqrt(S[j]! / s);
  return {
    A: matrix(r, W.columns, (i, j) => root(i) * at(V, j, i)),
    B: matrix(W.rows, r, (i, j) => root(j) * at(U, i, j)),
  };
}

/** The first r columns of Q and rows of R of W = Q R; PEFT does not divide by s. [OLoRA §3, algorithm 1] */
export function olora(W: Matrix, r: number): Factors {
  const { Q, R } = qr(W);
  return { A: rowsOf(R, 0, r), B: firstColumns(Q, r) };
}

/** Rows of A from half of an orthogonal basis of R^r, B's from the other half: B A = 0. PEFT's, with its tenths. */
function orthogonal(r: number, k: number, out: number, key: Key): Factors {
  const random = (rows: number, columns: number, name: string): Matrix =>
    matrix(rows, columns, normals(foldIn(key, name), rows * columns));
  const { Q } = qr(random(r, r, 'basis'));
  const half = (odd: number): Matrix => matrix(r / 2, r, (i, j) => at(Q, 2 * i + odd, j));
  return {
    A: scaled(turned(times(random(k, r / 2, 'A'), half(0))), 1 / 10),
    B: scaled(times(turned(random(r / 2, out, 'B')), half(1)), 1 / 10),
  };
}
