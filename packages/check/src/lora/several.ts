/** One linear map or table with several adapters, drawn at random, on the host and on a backend. */
import type { Tensor } from '@bax/core';
import {
  type Adapter, adapterFrom, type Context, Conv1D, Embedding, linalg, Linear, LoraModel, type Lookup, type Matrix, Module, type OutputSlice, planLora, type Projection,
} from '@bax/nn'; // prettier-ignore
import fc from 'fast-check';
import { integers, wide } from '../values.ts';
import { type Form, type Mode, type On, type Part, productOf, put, rowOf } from './instance.ts';

const { matrix, plus, scaled, turned } = linalg;

/** An adapter: its parts share r and α. */
export interface Member {
  readonly name: string;
  readonly r: number;
  readonly alpha: number;
  /** α/r, exactly. */
  readonly s: number;
  /** With which it is active. */
  readonly weight: number;
  readonly parts: readonly Part[];
}
export interface Several {
  readonly form: Form | 'embedding';
  /** [out, in], also of an embedding, of which `in` is the number of tokens. */
  readonly W: Matrix;
  readonly bias: Float64Array | undefined;
  readonly slices: Readonly<Record<string, OutputSlice>>;
  readonly members: readonly Member[];
  /** [n, in]; of an embedding one-hot. */
  readonly x: Matrix;
  readonly G: Matrix;
}
export interface SeveralOptions {
  readonly forms?: readonly Several['form'][];
  /** How many adapters at least. Default 1. */
  readonly least?: number;
  /** Whole outputs alone. Default false. */
  readonly whole?: boolean;
  /** All of one rank. Default false. */
  readonly sameRank?: boolean;
  /** The smallest and the largest size. Default 1 and 10. */
  readonly smallest?: number;
  readonly size?: number;
}

/** One to four adapters of ranks, scales and weights of their own, on slices and on the whole of one layer, overlapping. */
export const several = (mode: Mode, options: SeveralOptions = {}): fc.Arbitrary<Several> =>
  fc.gen().map((g) => {
    const {
      forms = ['linear', 'conv1d', 'embedding'],
      least = 1,
      whole = false,
      smallest = 1,
      size = 10,
    } = options;
    const integer = (min: number, max: number): number => g(fc.integer, { min, max });
    const pick = <T>(list: readonly T[]): T => list[integer(0, list.length - 1)]!;
    const values = (n: number, most: number): number[] =>
      mode === 'int' ? g(integers, n, [-most, most]) : g(wide, n);
    const draw = (rows: number, columns: number, most: number): Matrix =>
      matrix(rows, columns, values(rows * columns, most));
    const form = pick(forms);
    const [k, cut] = [integer(smallest, size), form !== 'embedding' && integer(0, 2) > 0];
    const lengths = [0, 1, 2].map(() => integer(Math.ceil(smallest / 3), Math.ceil(size / 3)));
    const out = lengths.reduce((a, b) => a + b);
    const slices: Record<string, OutputSlice> = {};
    if (cut) ['q', 'k', 'v'].forEach((name, i) => (slices[name] = { start: lengths.slice(0, i).reduce((a, b) => a + b, 0), length: lengths[i]! })); // prettier-ignore
    const least1 = Math.min(k, ...(cut && !whole ? lengths : [out]));
    const common = integer(1, Math.min(least1, 3));
    const names = ['poet', 'pirate', 'c3', 'd_4'].slice(0, integer(least, 4));
    const members = names.map((name): Member => {
      const chosen = cut && !whole && integer(0, 2) > 0 ? pick([['q'], ['q', 'v'], ['k', 'v'], ['v'], ['q', 'k', 'v']]) : [undefined]; // prettier-ignore
      const most = Math.min(k, 4, ...chosen.map((slice) => (slice ? slices[slice]!.length : out)));
      const r = options.sameRank ? common : integer(1, most);
      const s = pick([0.5, 1, 2, 3]);
      const parts = chosen.map((slice): Part => {
        const { start, length } = slice ? slices[slice]! : { start: 0, length: out };
        return { name: slice, start, length, A: draw(r, k, 2), B: draw(length, r, 2) };
      });
      return { name, r, s, alpha: s * r, weight: pick([1, 1, 0.5, 2, -1, 0]), parts };
    });
    const n = integer(1, 6);
    const ids = Array.from({ length: n }, () => integer(0, k - 1)); // some repeat
    const drawn: Several = {
      form, slices, members,
      W: draw(out, k, 8),
      bias: form !== 'embedding' && integer(0, 1) === 1 ? Float64Array.from(values(out, 8)) : undefined,
      x: form === 'embedding' ? matrix(n, k, (i, j) => (ids[i] === j ? 1 : 0)) : draw(n, k, 4),
      G: draw(n, out, 4),
    }; // prettier-ignore
    const shown = members.map(({ name, r, s, weight, parts }) => `${weight} ${name} r=${r} s=${s} ${parts.map((p) => p.name ?? 'all').join('+')}`); // prettier-ignore
    return Object.assign(drawn, { toString: () => `${form} [${out}, ${k}] n=${n}${drawn.bias ? ' +b' : ''}: ${shown.join('; ')}` }); // prettier-ignore
  });

/** s Σ B A of one, [out, in]. */
export const deltaOfMember = ({ parts, s }: Pick<Member, 'parts' | 's'>, out: number): Matrix =>
  parts.map((p) => scaled(productOf(p, out), s)).reduce(plus);
/** Σ w s B A of all. */
export const deltaOfAll = ({ members, W }: Pick<Several, 'members' | 'W'>): Matrix =>
  members.map((m) => scaled(deltaOfMember(m, W.rows), m.weight)).reduce(plus, matrix(W.rows, W.columns, () => 0)); // prettier-ignore
/** W + Σ w s B A. */
export const mergedOfAll = (all: Pick<Several, 'members' | 'W'>): Matrix => plus(all.W, deltaOfAll(all));

/** A model of one layer or table. */
export class Single extends Module {
  proj: Projection | Lookup;
  constructor(proj: Projection | Lookup) {
    super();
    this.proj = proj;
    this.namedModules();
  }
  forward(x: Tensor, context: Context = {}): Tensor {
    return this.proj.forward(x, context);
  }
  /** The weight as [out, in], on the host. */
  async weights(): Promise<ArrayLike<number>> {
    return (this.proj as Linear | Embedding).matrix.data();
  }
}

export function singleOf({ form, W, bias, slices }: Pick<Several, 'form' | 'W' | 'bias' | 'slices'>, on: On): Single {
  if (form === 'embedding') return new Single(new Embedding(put(turned(W), on)));
  const b = bias && rowOf(bias, on);
  const layer = form === 'conv1d' ? new Conv1D(put(turned(W), on), b) : new Linear(put(W, on), b);
  return new Single(Object.assign(layer, { slices }));
} // prettier-ignore

/** One of the adapters, on its own. */
export function adapterOf({ r, alpha, parts }: Member, base: Single, on: On): Adapter {
  const targets = parts.map(({ name }) => (name ? `proj.${name}` : 'proj'));
  return adapterFrom(planLora(base, { r, alpha, targets }), {
    factors({ slice }) {
      const part = parts.find(({ name }) => name === slice?.name)!;
      return { A: put(part.A, on), B: put(part.B, on) };
    },
  });
}

/** The layer with all of them, active with their weights. */
export function adaptedBy(all: Several, on: On, base: Single = singleOf(all, on)): LoraModel<Single> {
  const lora = new LoraModel(base);
  for (const member of all.members) lora.add(member.name, adapterOf(member, base, on));
  lora.activate(Object.fromEntries(all.members.map(({ name, weight }) => [name, weight])));
  return lora;
}
