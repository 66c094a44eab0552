/**
 * P22: any sequence of what a person can do with adapters agrees with W + Σ w s B A, kept as dense matrices on the host
 * by a program that shares nothing with this one. The model is a table and a fused layer, so that slices, whole layers and
 * embeddings lie over each other. DoRA is left out: several of it have no sum.
 */
import { assertWithin } from '@bax/check';
import { BaxError, fromHost, keep, mul, noGrad, sum, type Tensor, valueAndGrad } from '@bax/core';
import {
  type Adapter, adapterFrom, type Context, Embedding, Linear, LoraModel, type Lookup, memoryFolder, Module, planLora, type Projection, readAdapter, saveAdapter, sgd, type WritableFolder,
} from '@bax/nn'; // prettier-ignore
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { modelHashes } from '../../nn/support/hash.ts';
import { absolute, at, matrix, type Matrix, plus, scaled, times, turned } from '../../nn/support/host.ts';
import { type On, onEveryBackend } from '../../support/backends.ts';
import { runs } from '../../support/runs.ts';
import { put, rowOf } from './support.ts';

const [TOKENS, DIM, OUT, RATE] = [5, 4, 6, 2 ** -10];
const SLICES = { q: { start: 0, length: 2 }, k: { start: 2, length: 2 }, v: { start: 4, length: 2 } };
const BASE = { table: whole(DIM, TOKENS, 1), proj: whole(OUT, DIM, 2) };
const BIAS = whole(1, OUT, 3);
const IDS = [0, 1, 2, 3, 4, 1];
const COTANGENT = whole(IDS.length, OUT, 4);

/** Small whole numbers, the same for the same seed. */
function whole(rows: number, columns: number, seed: number): Matrix {
  let state = seed * 2654435761 + 12345;
  return matrix(rows, columns, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * 5) - 2;
  });
}

class Net extends Module {
  table: Lookup;
  proj: Projection;
  constructor(table: Lookup, proj: Projection) {
    super();
    this.table = table;
    this.proj = proj;
    this.namedModules();
  }
  /** ids [n, 1] → [n, 1, OUT]. */
  forward(ids: Tensor, context: Context = {}): Tensor {
    return this.proj.forward(this.table.forward(ids, context), context);
  }
}

/** One branch of the oracle's: of rows `start` and on of the table's or the layer's matrix. */
interface Branch {
  readonly layer: 'table' | 'proj';
  readonly start: number;
  /** Its path in the model. */
  readonly path: string;
  A: Matrix;
  B: Matrix;
}
interface Spec {
  readonly r: number;
  readonly s: number;
  readonly targets: readonly string[];
  readonly seed: number;
}
interface Dense {
  readonly s: number;
  readonly branches: Branch[];
}
const branchesOf = ({ r, targets, seed }: Spec): Branch[] =>
  targets.map((target, i) => {
    const slice = target in SLICES ? SLICES[target as 'q'] : undefined;
    const layer = target === 'table' ? 'table' : 'proj';
    const [rows, columns] = [slice?.length ?? BASE[layer].rows, BASE[layer].columns];
    const path = slice ? `proj.${target}` : `${target}.lora`;
    return { layer, start: slice?.start ?? 0, path, A: whole(r, columns, seed + 10 * i + 100), B: whole(rows, r, seed + 10 * i + 200) }; // prettier-ignore
  });
const copied = ({ s, branches }: Dense, round = (x: number): number => x): Dense => ({
  s,
  branches: branches.map((b) => ({ ...b, A: mapped(b.A, round), B: mapped(b.B, round) })),
});
const mapped = (m: Matrix, f: (x: number) => number): Matrix => matrix(m.rows, m.columns, m.data.map(f)); // prettier-ignore

/** What the oracle holds. */
interface Oracle {
  W: { table: Matrix; proj: Matrix };
  bias: Matrix;
  adapters: Map<string, Dense>;
  active: Map<string, number>;
  enabled: boolean;
  /** Each with the bits of the base that it was saved for. */
  files: Map<string, { adapter: Dense; base: Record<string, string> }>;
}
interface Real {
  readonly on: On;
  base: Net;
  lora: LoraModel<Net>;
  bits: Record<string, string>;
  readonly files: Map<string, WritableFolder>;
  /** Merged models, and what they must go on computing. */
  readonly merged: { readonly model: Net; readonly y: Matrix; readonly size: Matrix }[];
}

/** W + Σ w s B A. */
function denseOf({ W, adapters }: Oracle, layer: 'table' | 'proj', weights: ReadonlyMap<string, number>, f = (m: Matrix): Matrix => m): Matrix {
  let sum = f(W[layer]);
  for (const [name, weight] of weights) {
    const { s, branches } = adapters.get(name)!;
    for (const b of branches.filter((one) => one.layer === layer)) {
      const BA = times(f(b.B), f(b.A));
      const placed = matrix(sum.rows, sum.columns, (i, j) => (i >= b.start && i < b.start + BA.rows ? at(BA, i - b.start, j) : 0));
      sum = plus(sum, scaled(placed, s * at(f(matrix(1, 1, [weight])), 0, 0)));
    }
  }
  return sum;
} // prettier-ignore
const runningOf = ({ active, enabled }: Oracle): ReadonlyMap<string, number> =>
  enabled ? active : new Map();
/** Logits of each token with its row's weights, and (f = absolute) what rounding is relative to. */
function outputOf(o: Oracle, weights: (row: number) => ReadonlyMap<string, number>, f = (m: Matrix): Matrix => m): Matrix {
  return matrix(IDS.length, OUT, (i, j) => {
    const [table, proj, b] = [denseOf(o, 'table', weights(i), f), denseOf(o, 'proj', weights(i), f), f(o.bias)];
    let y = at(b, 0, j);
    for (let l = 0; l < DIM; l++) y += at(proj, j, l) * at(table, l, IDS[i]!);
    return y;
  });
} // prettier-ignore

const idsOn = ({ backend }: On): Tensor =>
  fromHost(Int32Array.from(IDS), [IDS.length, 1], 'i32', { backend });
const near = (on: On, actual: ArrayLike<number>, wanted: Matrix, size: Matrix, what: string): void => {
  const most = Math.max(1, ...size.data);
  assertWithin(actual, wanted.data, (on.hasF64 ? 1e-12 : 1e-5) * most, what);
};
async function agree(o: Oracle, real: Real, what: string): Promise<void> {
  const { on, lora, merged } = real;
  const weights = runningOf(o);
  const x = idsOn(on);
  const y = await noGrad(() => lora.model.forward(x)).data();
  near(on, y, outputOf(o, () => weights), outputOf(o, () => weights, absolute), what); // prettier-ignore
  expect([...lora.adapters.keys()].sort(), what).toEqual([...o.adapters.keys()].sort());
  expect(Object.fromEntries(lora.active), what).toEqual(Object.fromEntries(o.active));
  for (const { model, y: then, size } of merged)
    near(on, await noGrad(() => model.forward(x)).data(), then, size, `${what}: what was merged before`);
  expect(await modelHashes(real.base), `${what}: the base`).toEqual(real.bits);
}
/** Runs on the model what the oracle says can be done, or must be refused. */
async function either(possible: boolean, run: () => unknown): Promise<void> {
  let refused: unknown;
  try {
    await run();
  } catch (error) {
    if (!(error instanceof BaxError)) throw error;
    refused = error;
  }
  if (possible && refused) throw new Error('it was refused', { cause: refused });
  if (!possible && !refused) throw new Error('it was not refused');
}

const command = (text: string, run: (o: Oracle, real: Real) => Promise<void>): fc.AsyncCommand<Oracle, Real> => ({
  check: () => true,
  async run(o, real) {
    await run(o, real);
    await agree(o, real, text);
  },
  toString: () => text,
}); // prettier-ignore

const spec: fc.Arbitrary<Spec> = fc.record({
  r: fc.constantFrom(1, 2),
  s: fc.constantFrom(1, 0.5, 2),
  targets: fc.constantFrom(['proj'], ['q', 'v'], ['k'], ['table'], ['table', 'q'], ['table', 'proj']),
  seed: fc.nat(9),
});
const madeOf = ({ r, s, targets, seed }: Spec, { base, on }: Real): Adapter => {
  const own = branchesOf({ r, s, targets, seed });
  return adapterFrom(planLora(base, { r, alpha: s * r, targets }), {
    factors({ path, modulePath }) {
      const b = own.find((one) => one.path === (path === modulePath ? `${path}.lora` : path))!;
      return { A: put(b.A, on.widest), B: put(b.B, on.widest) };
    },
  });
};
const NAMES = ['a', 'b', 'c'] as const;
const named = fc.constantFrom(...NAMES);
const weight = fc.constantFrom(1, 2, 0.5, -1, 0);

const commands = (): fc.Arbitrary<fc.AsyncCommand<Oracle, Real>>[] => [
  fc.tuple(named, spec).map(([name, one]) =>
    command(`add ${name} ${JSON.stringify(one)}`, async (o, real) => {
      const possible = !o.adapters.has(name);
      await either(possible, () => real.lora.add(name, madeOf(one, real)));
      if (possible) o.adapters.set(name, { s: one.s, branches: branchesOf(one) });
    }),
  ),
  named.map((name) =>
    command(`remove ${name}`, async (o, real) => {
      await either(o.adapters.has(name), () => real.lora.remove(name).dispose());
      o.adapters.delete(name);
      o.active.delete(name);
    }),
  ),
  fc.tuple(named, spec).map(([name, one]) =>
    command(`swap ${name} ${JSON.stringify(one)}`, async (o, real) => {
      const possible = o.adapters.has(name);
      await either(possible, () => real.lora.swap(name, madeOf(one, real)).dispose());
      if (possible) o.adapters.set(name, { s: one.s, branches: branchesOf(one) });
    }),
  ),
  fc.uniqueArray(fc.tuple(named, weight), { selector: ([name]) => name, maxLength: 3 }).map((weights) =>
    command(`activate ${JSON.stringify(Object.fromEntries(weights))}`, async (o, real) => {
      const possible = weights.every(([name]) => o.adapters.has(name));
      await either(possible, () => real.lora.activate(Object.fromEntries(weights)));
      if (possible) o.active = new Map(weights);
    }),
  ),
  fc.tuple(named, weight).map(([name, w]) =>
    command(`scale ${name} ${w}`, async (o, real) => {
      const possible = o.active.has(name);
      await either(possible, () => real.lora.scale(w, name));
      if (possible) o.active.set(name, w);
    }),
  ),
  fc.boolean().map((enabled) =>
    command(enabled ? 'enable' : 'disable', async (o, { lora }) => {
      if (enabled) lora.enable();
      else lora.disable();
      o.enabled = enabled;
    }),
  ),
  fc.constant(
    command('train', async (o, { on, lora }) => {
      if (!o.enabled || o.active.size === 0) return;
      const [x, G] = [idsOn(on), put(COTANGENT, on.widest).reshape([IDS.length, 1, OUT])];
      const params = lora.parameters();
      const wanted = new Map<string, [Branch, 'A' | 'B']>();
      for (const name of o.active.keys())
        for (const b of o.adapters.get(name)!.branches)
          for (const f of ['A', 'B'] as const)
            wanted.set(`${o.active.size > 1 ? `${name}/` : ''}${b.path}.${f}`, [b, f]);
      expect([...params.keys()].sort()).toEqual([...wanted.keys()].sort());
      const { grads } = valueAndGrad(() => sum(mul(lora.model.forward(x), G)), [...params.values()]);
      sgd(params, { lr: RATE }).step(grads);
      // full fine-tuning's gradients of both matrices, and the chain rule of B A
      const [table, proj] = [denseOf(o, 'table', o.active), denseOf(o, 'proj', o.active)];
      const hidden = matrix(IDS.length, DIM, (i, l) => at(table, l, IDS[i]!));
      const oneHot = matrix(IDS.length, TOKENS, (i, t) => (IDS[i] === t ? 1 : 0));
      const D = { proj: times(turned(COTANGENT), hidden), table: times(turned(times(COTANGENT, proj)), oneHot) }; // prettier-ignore
      for (const [name, w] of o.active) {
        const { s, branches } = o.adapters.get(name)!;
        for (const b of branches) {
          const rows = matrix(b.B.rows, b.A.columns, (i, j) => at(D[b.layer], b.start + i, j));
          const step = (m: Matrix): Matrix => scaled(m, -RATE * s * w);
          [b.A, b.B] = [plus(b.A, step(times(turned(b.B), rows))), plus(b.B, step(times(rows, turned(b.A))))];
        }
      }
    }),
  ),
  fc.constant(
    command('merge', async (o, real) => {
      const possible = o.enabled && o.active.size > 0;
      await either(possible, async () => {
        const { model, report } = await real.lora.merge();
        expect(report.worst.ratio).toBeLessThanOrEqual(1);
        const active = new Map(o.active);
        const [y, size] = [outputOf(o, () => active), outputOf(o, () => active, absolute)];
        real.merged.splice(0, real.merged.length - 1); // two are enough
        real.merged.push({ model, y, size });
      });
    }),
  ),
  fc.constant(
    command('go on from the merged model, with the adapters that are not in it', async (o, real) => {
      if (!o.enabled || o.active.size === 0) return;
      const { model } = await real.lora.merge();
      const rest = [...real.lora.adapters].filter(([name]) => !o.active.has(name));
      o.W = { table: denseOf(o, 'table', o.active), proj: denseOf(o, 'proj', o.active) };
      for (const name of o.active.keys()) o.adapters.delete(name);
      o.active = new Map();
      real.base = model;
      real.lora = new LoraModel(model);
      for (const [name, adapter] of rest) real.lora.add(name, adapter);
      real.bits = await modelHashes(model);
    }),
  ),
  named.map((name) =>
    command(`save ${name}`, async (o, real) => {
      const folder = memoryFolder();
      await either(o.adapters.has(name), () => saveAdapter(real.lora, folder, { adapter: name }));
      if (!o.adapters.has(name)) return;
      real.files.set(name, folder);
      o.files.set(name, { adapter: copied(o.adapters.get(name)!, Math.fround), base: real.bits });
    }),
  ),
  fc.tuple(named, named).map(([file, name]) =>
    command(`load ${file} as ${name}`, async (o, real) => {
      const saved = o.files.get(file);
      if (!saved) return;
      let adapter: Adapter | undefined;
      const same = JSON.stringify(saved.base) === JSON.stringify(real.bits); // a merge with weight 0 changes none
      await either(same, async () => {
        ({ adapter } = await readAdapter(real.base, real.files.get(file)!));
      });
      if (!adapter) return;
      if (o.adapters.has(name)) real.lora.swap(name, adapter).dispose();
      else real.lora.add(name, adapter);
      o.adapters.set(name, copied(saved.adapter));
    }),
  ),
  fc.array(fc.constantFrom('a', 'b', 'c', null), { minLength: IDS.length, maxLength: IDS.length }).map((rows) =>
    command(`a batch of ${rows.join()}`, async (o, { on, lora }) => {
      // which adapters there are is asked where some layer has one
      const possible = !o.enabled || o.adapters.size === 0 || rows.every((name) => name === null || o.adapters.has(name));
      await either(possible, async () => {
        const y = await noGrad(() => lora.model.forward(idsOn(on), { adapters: rows })).data();
        const known = (i: number): ReadonlyMap<string, number> =>
          new Map(o.enabled && o.adapters.has(rows[i] ?? '') ? [[rows[i]!, 1]] : []);
        near(on, y, outputOf(o, known), outputOf(o, known, absolute), 'the rows');
      });
    }),
  ),
]; // prettier-ignore

onEveryBackend((on) => {
  it('P22: any sequence of adding, removing, swapping, activating, scaling, training, merging, saving, loading and mixing agrees with dense matrices', async () => {
    const setUp = async (): Promise<{ model: Oracle; real: Real }> => {
      const proj = new Linear(put(BASE.proj, on.widest), keep(rowOf(BIAS.data, on.widest)));
      const base = new Net(new Embedding(put(turned(BASE.table), on.widest)), Object.assign(proj, { slices: SLICES })); // prettier-ignore
      const bits = await modelHashes(base);
      return {
        model: { W: { ...BASE }, bias: BIAS, adapters: new Map(), active: new Map(), enabled: true, files: new Map() },
        real: { on, base, lora: new LoraModel(base), bits, files: new Map(), merged: [] },
      }; // prettier-ignore
    };
    // three to begin with, so that most of what is drawn can be done
    const law = async (
      specs: readonly Spec[],
      all: Iterable<fc.AsyncCommand<Oracle, Real>>,
    ): Promise<void> => {
      const set = await setUp();
      specs.forEach((one, i) => {
        set.real.lora.add(NAMES[i]!, madeOf(one, set.real));
        set.model.adapters.set(NAMES[i]!, { s: one.s, branches: branchesOf(one) });
      });
      set.real.lora.activate({ a: 1, b: 2 });
      set.model.active = new Map([
        ['a', 1],
        ['b', 2],
      ]);
      await fc.asyncModelRun(() => set, all);
      for (const t of [...set.real.base.parameters(), ...[...set.real.lora.adapters.values()].flatMap((a) => [...a.tensors().values()])]) t.dispose(); // prettier-ignore
    };
    await fc.assert(
      fc.asyncProperty(
        fc.array(spec, { minLength: 3, maxLength: 3 }),
        fc.commands(commands(), { maxCommands: 16, size: 'max' }),
        law,
      ),
      runs(on.runs(60)),
    );
  });
});
