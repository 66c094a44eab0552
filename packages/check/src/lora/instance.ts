/** One adapted linear map, drawn at random, on the host and on a backend. */
import { fromHost, grad, hostArray, keep, noGrad, type Backend, type DType, type Tensor } from '@bax/core';
import {
  type Adaptable, adapterFrom, Conv1D, Embedding, linalg, Linear, type LoraConfig, type Lookup, type Matrix, Module, planLora, type Context, type LoraModel, type OutputSlice, type Projection, withAdapter,
} from '@bax/nn'; // prettier-ignore
import fc from 'fast-check';
import { integers, wide } from '../values.ts';

const { matrix, plus, scaled, times, turned } = linalg;

/** Small integers, whose products and sums are exact in f32 in any order; or numbers as programs hold them. */
export type Mode = 'int' | 'real';
/** How W is stored: [out, in], or transposed; or a table [in, out], whose x are one-hot rows, given as ids. */
export type Form = 'linear' | 'conv1d' | 'embedding';

interface Factors {
  readonly A: Matrix;
  readonly B: Matrix;
}

/** A pair of factors, for all outputs or (with a name) for a slice of them. */
export interface Part extends OutputSlice, Factors {
  readonly name: string | undefined;
  /** What was taken out of W, as PiSSA does. */
  readonly taken?: Factors | undefined;
}
export interface Instance {
  readonly form: Form;
  readonly r: number;
  readonly alpha: number;
  /** α/r, exactly. */
  readonly s: number;
  /** [out, in] */
  readonly W: Matrix;
  readonly bias: Float64Array | undefined;
  readonly slices: Readonly<Record<string, OutputSlice>>;
  readonly parts: readonly Part[];
  /** [n, in] and a cotangent [n, out]. */
  readonly x: Matrix;
  readonly G: Matrix;
}

export interface InstanceOptions {
  /** Draw adapters of slices, too, or alone. Default true. */
  readonly slices?: boolean | 'alone';
  /** B = 0, the start of training. Default false. */
  readonly zeroB?: boolean;
  /** A = 0, the start of an embedding's. Default false. */
  readonly zeroA?: boolean;
  /** Each part takes something out of W. Default false. */
  readonly taken?: boolean;
  /** Of W and of A, B and x in int mode. Default 8 and 2, 4. */
  readonly narrow?: boolean;
  /** Default 'linear' or 'conv1d'. */
  readonly form?: Form;
  /** The largest size. Default 16. */
  readonly size?: number;
}

/** The ranges of integer mode: sizes 1 to 16, r ≠ 1 and out ≠ in mostly, s a small dyadic number and α = s r. */
export const instances = (mode: Mode, options: InstanceOptions = {}): fc.Arbitrary<Instance> =>
  fc.gen().map((g) => {
    const { zeroA = false, zeroB = false, narrow = false, size = 16 } = options;
    const { slices: mayCut = options.form !== 'embedding' } = options;
    const integer = (min: number, max: number): number => g(fc.integer, { min, max });
    const values = (n: number, most: number): number[] =>
      mode === 'int' ? g(integers, n, [-most, most]) : g(wide, n);
    const draw = (rows: number, columns: number, most: number): Matrix =>
      matrix(rows, columns, values(rows * columns, most));
    const form = options.form ?? (integer(0, 1) === 1 ? 'conv1d' : 'linear');
    const [k, cut] = [integer(1, size), mayCut === 'alone' || (mayCut && integer(0, 1) === 1)];
    const lengths = cut ? [0, 1, 2].map(() => integer(1, Math.ceil(size / 2))) : [integer(1, size)];
    const out = lengths.reduce((a, b) => a + b);
    const s = narrow ? integer(1, 2) : [0.5, 1, 2, 3, 4][integer(0, 4)]!;
    const slices: Record<string, OutputSlice> = {};
    if (cut)
      ['q', 'k', 'v'].forEach(
        (name, i) =>
          (slices[name] = { start: lengths.slice(0, i).reduce((a, b) => a + b, 0), length: lengths[i]! }),
      );
    const chosen = cut
      ? ['q', 'k', 'v'].filter((_, i) =>
          [[0, 2], [0], [1], [0, 1, 2], [2], [1, 2]][integer(0, 5)]!.includes(i),
        )
      : [undefined];
    const wanted = chosen.length > 0 ? chosen : ['v'];
    const most = Math.min(k, ...wanted.map((name) => (name ? slices[name]!.length : out)));
    const r = integer(0, 3) === 0 ? 1 : integer(Math.min(2, most), Math.min(most, 8));
    const [wMost, abMost, xMost] = narrow ? [2, 1, 1] : [8, 2, 4];
    const parts = wanted.map((name): Part => {
      const { start, length } = name ? slices[name]! : { start: 0, length: out };
      const pair = (): Factors => ({ A: draw(r, k, abMost), B: draw(length, r, abMost) });
      const { A, B } = pair();
      return {
        name, start, length,
        A: zeroA ? matrix(r, k, () => 0) : A,
        B: zeroB ? matrix(length, r, () => 0) : B,
        taken: options.taken ? pair() : undefined,
      }; // prettier-ignore
    });
    const n = integer(1, narrow ? 8 : 6);
    const ids = form === 'embedding' ? g(integers, n, [0, k - 1]) : []; // some more than once
    const instance: Instance = {
      form, r, s, alpha: s * r, slices, parts,
      W: draw(out, k, wMost),
      bias: form !== 'embedding' && integer(0, 1) === 1 ? Float64Array.from(values(out, wMost)) : undefined,
      x: form === 'embedding' ? matrix(n, k, (i, j) => (ids[i] === j ? 1 : 0)) : draw(n, k, xMost),
      G: draw(n, out, narrow ? 2 : 4),
    }; // prettier-ignore
    const names = parts.map((p) => p.name ?? 'all').join('+');
    return Object.assign(instance, { toString: () => `${form} [${out}, ${k}] r=${r} s=${s} ${names} n=${n}${instance.bias ? ' +b' : ''}` }); // prettier-ignore
  });

/** B A of a part, less what it took, in the rows of its slice, zero elsewhere: [out, in]. */
export const productOf = ({ A, B, start, length, taken }: Part, out: number): Matrix => {
  const BA = taken ? plus(times(B, A), scaled(times(taken.B, taken.A), -1)) : times(B, A);
  return matrix(out, A.columns, (i, j) =>
    i >= start && i < start + length ? BA.data[(i - start) * A.columns + j]! : 0,
  );
};
/** ΔW = s Σ B A, [out, in]. */
export const deltaOf = ({ parts, s, W }: Instance): Matrix =>
  parts.map((p) => scaled(productOf(p, W.rows), s)).reduce(plus);
/** W + s Σ B A. */
export const mergedOf = (instance: Instance): Matrix => plus(instance.W, deltaOf(instance));
/** x Wᵀ + b with any W. */
export const outputOf = ({ x, bias }: Instance, W: Matrix): Matrix => {
  const y = times(x, turned(W));
  return bias ? matrix(y.rows, y.columns, (i, j) => y.data[i * y.columns + j]! + bias[j]!) : y;
};

/** A model of one linear layer. */
export class One extends Module {
  proj: Projection | Lookup;
  constructor(proj: Projection | Lookup) {
    super();
    this.proj = proj;
  }
  forward(x: Tensor, context: Context = {}): Tensor {
    return this.proj.forward(x, context);
  }
}

export interface On {
  readonly backend: Backend;
  readonly dtype?: DType;
}
export const put = ({ rows, columns, data }: Matrix, { backend, dtype = 'f32' }: On): Tensor => {
  const values = hostArray(dtype, data.length);
  values.set(data);
  return keep(fromHost(values, [rows, columns], dtype, { backend }));
};
export const rowOf = (data: Float64Array, on: On): Tensor => {
  const row = put(matrix(1, data.length, data), on);
  const t = keep(row.reshape([data.length]));
  row.dispose();
  return t;
};

/** The layer itself, without an adapter. */
export function baseOf(
  { form, W, bias, slices }: Pick<Instance, 'form' | 'W' | 'bias' | 'slices'>,
  on: On,
): One {
  if (form === 'embedding') return new One(new Embedding(put(turned(W), on)));
  const b = bias && rowOf(bias, on);
  const layer = form === 'conv1d' ? new Conv1D(put(turned(W), on), b) : new Linear(put(W, on), b);
  layer.slices = slices;
  return new One(layer);
}
export const targetsIn = ({ parts }: Instance): string[] =>
  parts.map((p) => (p.name ? `proj.${p.name}` : 'proj'));

/** x on the device; of an embedding the ids of which it is the one-hot rows. */
export function inputOf({ form, x }: Pick<Instance, 'form' | 'x'>, on: On): Tensor {
  if (form !== 'embedding') return put(x, on);
  const ids = Int32Array.from({ length: x.rows }, (_, i) =>
    x.data.subarray(i * x.columns, (i + 1) * x.columns).indexOf(1),
  );
  return keep(fromHost(ids, [x.rows], 'i32', { backend: on.backend }));
}

/** The layer with its adapter. */
export function adapted(
  instance: Instance,
  on: On,
  base: One = baseOf(instance, on),
  config: LoraConfig = {},
): LoraModel<One> {
  const { r, alpha, parts } = instance;
  const plan = planLora(base, { r, alpha, targets: targetsIn(instance), ...config });
  const pair = ({ A, B }: Factors): { A: Tensor; B: Tensor } => ({ A: put(A, on), B: put(B, on) });
  const factors = parts.map((part) => ({ ...pair(part), taken: part.taken && pair(part.taken) }));
  return withAdapter(
    base,
    adapterFrom(plan, {
      factors: ({ slice }) => factors[parts.findIndex((p) => p.name === slice?.name)]!,
    }),
  );
}
/** A and B of a part, on the device. */
export const factorsOf = (lora: LoraModel<One>, { name }: Part): { A: Tensor; B: Tensor } => {
  const branch = [...lora.layers.values()].flatMap((l) => l.branches).find((b) => b.slice?.name === name)!;
  return { A: branch.A, B: branch.B };
};

/** ∂⟨G, y⟩/∂p for each p, on the host; y is `f()`. */
export async function gradients(
  f: () => Tensor,
  G: Tensor,
  params: readonly Tensor[],
): Promise<ArrayLike<number>[]> {
  for (const p of params) p.requiresGrad = true;
  const grads = grad(f(), params, { cotangent: G });
  for (const p of params) p.requiresGrad = false;
  return Promise.all(grads.map((g) => g.data()));
}
export const run = async (model: One, x: Tensor): Promise<ArrayLike<number>> =>
  noGrad(() => model.forward(x)).data();
/** The weight as [out, in]. */
export const weightOf = async (model: One): Promise<ArrayLike<number>> =>
  (model.proj as Adaptable).matrix.data();
