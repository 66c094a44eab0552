/** P19: a batch whose rows go through different adapters is as many batches, each through its own. */
import { assertSameBits, assertWithin, gamma } from '@bax/check';
import { cpu } from '@bax/cpu';
import { contiguous, key, noGrad, reshape, slice, type Tensor, valueAndGrad } from '@bax/core';
import { createAdapter, type Gpt2, LoraModel, type Optimizer, planLora, sgd, train } from '@bax/nn';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { failure } from '../../nn/files/support.ts';
import { randomAdapter, tinyGpt2, tokens } from '../../nn/support/gpt2.ts';
import { hashes, modelHashes } from '../../nn/support/hash.ts';
import { absolute, at, matrix, rowsOf, scaled, times, turned, type Matrix } from '../../nn/support/host.ts';
import { expectClose } from '../../nn/support/numbers.ts';
import { onEveryBackend } from '../../support/backends.ts';
import { runs } from '../../support/runs.ts';
import {
  adaptedBy, gradients, inputOf, mergedOfAll, outputOf, put, several, type Several, singleOf,
} from './support.ts'; // prettier-ignore

/** The adapter of each row of x; two rows of a sequence go together. */
interface Mixed {
  readonly all: Several;
  /** Rows of x that make one row of the batch. */
  readonly time: 1 | 2;
  readonly adapters: readonly (string | null)[];
}
const mixed = (mode: 'int' | 'real', options: Parameters<typeof several>[1] = {}): fc.Arbitrary<Mixed> =>
  fc
    .tuple(several(mode, options), fc.array(fc.nat(4), { minLength: 12, maxLength: 12 }), fc.boolean())
    .map(([all, choice, long]) => {
      const time = long && all.x.rows % 2 === 0 ? 2 : 1;
      const names = [null, ...all.members.map((m) => m.name)];
      const adapters = Array.from({ length: all.x.rows / time }, (_, i) => names[choice[i]! % names.length]!);
      return Object.assign({ all, time, adapters } as const, { toString: () => `${all.toString()}; ${adapters.join()}` }); // prettier-ignore
    });
const batched = (x: Tensor, time: 1 | 2): Tensor =>
  time === 1 && x.dtype !== 'i32' ? x : reshape(x, [x.shape[0]! / time, time, ...x.shape.slice(1)]);
const only = (m: Matrix, keep: (row: number) => boolean): Matrix =>
  matrix(m.rows, m.columns, (i, j) => (keep(i) ? at(m, i, j) : 0));
/** Each row by its own W. */
function outputsOf({ all, time, adapters }: Mixed): Float64Array {
  const y = new Float64Array(all.x.rows * all.W.rows);
  for (let i = 0; i < all.x.rows; i++) {
    const own = all.members.filter((m) => m.name === adapters[Math.floor(i / time)]);
    const W = mergedOfAll({ W: all.W, members: own.map((m) => ({ ...m, weight: 1 })) });
    const row = { x: rowsOf(all.x, i, 1), bias: all.bias } as Parameters<typeof outputOf>[0];
    y.set(outputOf(row, W).data, i * all.W.rows);
  }
  return y;
}

onEveryBackend((on) => {
  it('bits in whole numbers: outputs, and the gradients of every A, B and x, whatever is active', async () => {
    const law = async (drawn: Mixed): Promise<void> => {
      const { all, time, adapters } = drawn;
      const lora = adaptedBy(all, on.f32);
      const x = inputOf(all, on.f32);
      const run = (): Tensor => lora.model.forward(batched(x, time), { adapters });
      const y = await noGrad(run).data();
      assertSameBits(y, outputsOf(drawn), 'output');
      lora.activate([]);
      assertSameBits(await noGrad(run).data(), y, 'output with no adapter active');
      const rowsOfName = (name: string | null) => (i: number) => adapters[Math.floor(i / time)] === name;
      const wanted = all.members.flatMap(({ name, s, parts }) => {
        const D = times(turned(only(all.G, rowsOfName(name))), all.x);
        return parts.flatMap(({ start, length, A, B }) => {
          const rows = rowsOf(D, start, length);
          return [scaled(times(turned(B), rows), s), scaled(times(rows, turned(A)), s)];
        });
      });
      const isTable = all.form === 'embedding';
      const params = all.members.flatMap(({ name, parts }) =>
        parts.flatMap(({ name: part }) => {
          const { A, B } = lora.adapter(name).branches.get(part ? `proj.${part}` : 'proj')!;
          return [A, B];
        }),
      );
      const G = put(all.G, on.f32);
      const cotangent = time === 1 && !isTable ? G : reshape(G, [adapters.length, time, all.W.rows]);
      const used = params.filter((_, i) => wanted[i]!.data.some((v) => v !== 0));
      if (used.length + (isTable ? 0 : 1) === 0) return;
      const grads = await gradients(run, cotangent, [...used, ...(isTable ? [] : [x])]);
      used.forEach((t, i) => assertSameBits(grads[i]!, wanted[params.indexOf(t)]!.data, `∂ of factor ${params.indexOf(t)}`)); // prettier-ignore
      if (isTable) return;
      const dx = matrix(all.x.rows, all.x.columns, () => 0);
      for (let i = 0; i < all.x.rows; i++) {
        const own = all.members.filter((m) => rowsOfName(m.name)(i)).map((m) => ({ ...m, weight: 1 }));
        dx.data.set(times(rowsOf(all.G, i, 1), mergedOfAll({ W: all.W, members: own })).data, i * all.x.columns); // prettier-ignore
      }
      assertSameBits(grads.at(-1)!, dx.data, '∂x');
    };
    await fc.assert(fc.asyncProperty(mixed('int'), law), runs(on.runs(60)));
  });

  it("in real numbers within P6's bound of f64; rows of none have the base's bits", async () => {
    const law = async (drawn: Mixed): Promise<void> => {
      const { all, time, adapters } = drawn;
      const base = singleOf(all, on.f32);
      const x = batched(inputOf(all, on.f32), time);
      const y = await adaptedBy(all, on.f32, base).model.forward(x, { adapters }).data();
      const plain = await base.forward(x).data();
      const terms = outputsOf({ ...drawn, all: { ...all, W: absolute(all.W), x: absolute(all.x), bias: all.bias?.map(Math.abs), members: all.members.map((m) => ({ ...m, parts: m.parts.map((p) => ({ ...p, A: absolute(p.A), B: absolute(p.B) })) })) } }); // prettier-ignore
      const r = Math.max(...all.members.map((m) => m.r));
      const g = gamma(all.W.columns + r + 3, on.backend.info.roundoff);
      assertWithin(y, outputsOf(drawn), (i) => g * terms[i]! + 2 ** -100, 'output');
      const width = time * all.W.rows;
      adapters.forEach((name, i) => {
        const row = (data: ArrayLike<number>): number[] => Array.from(data).slice(i * width, (i + 1) * width);
        if (name === null) assertSameBits(row(y), row(plain), `row ${i}, of no adapter`);
      });
    };
    await fc.assert(fc.asyncProperty(mixed('real'), law), runs(on.runs(40)));
  });

  it("with dropout, an adapter's rows are a batch of their own with the same key", async () => {
    const law = async ({ all, adapters }: Mixed, p: number, seed: number): Promise<void> => {
      const base = singleOf(all, on.f32);
      const lora = new LoraModel(base);
      for (const m of all.members) {
        const targets = m.parts.map(({ name }) => (name ? `proj.${name}` : 'proj'));
        const made = await createAdapter(planLora(base, { r: m.r, alpha: m.alpha, targets, dropout: p }), { key: key(seed) }); // prettier-ignore
        for (const { B } of made.branches.values())
          on.backend.write(
            B.view.buffer,
            Float32Array.from({ length: B.size }, (_, i) => (i % 3) - 1),
          );
        lora.add(m.name, made);
      }
      const x = inputOf(all, on.f32);
      const y = await lora.model.forward(x, { adapters, key: key(seed) }).data();
      for (const name of new Set(adapters)) {
        const rows = adapters.flatMap((other, i) => (other === name ? [i] : []));
        const own = inputOf({ ...all, x: matrix(rows.length, all.x.columns, (i, j) => at(all.x, rows[i]!, j)) }, on.f32); // prettier-ignore
        lora.activate(name ?? []);
        const alone = await lora.model.forward(own, { key: key(seed) }).data();
        const n = all.W.rows;
        const ours = rows.flatMap((row) => Array.from(y).slice(row * n, (row + 1) * n));
        const most = Math.max(1, ...Array.from(alone, Math.abs));
        assertWithin(ours, alone, 2 ** -17 * most, `rows of ${name}`); // another mask would be off by halves
      }
    };
    const drawn = mixed('int', { forms: ['linear', 'conv1d'] }).map((m): Mixed => {
      const names = [null, ...m.all.members.map((one) => one.name)];
      return { ...m, time: 1, adapters: Array.from({ length: m.all.x.rows }, (_, i) => m.adapters[i] ?? names[i % names.length]!) }; // prettier-ignore
    });
    await fc.assert(fc.asyncProperty(drawn, fc.constantFrom(0.5, 0.75), fc.nat(99), law), runs(on.runs(20)));
  });

  it('of a GPT-2, with adapters of other ranks on other layers and on its table: row by row, and its base for none', async () => {
    const { widest } = on;
    const model = tinyGpt2(widest);
    const lora = new LoraModel(model);
    const configs = { a: { r: 2, targets: ['q', 'v'] }, b: { r: 3, alpha: 5, targets: ['c_attn', 'mlp.c_proj', 'wte'] }, c: { r: 1, targets: ['lm_head', 'c_fc'] } }; // prettier-ignore
    Object.entries(configs).forEach(([name, config], i) =>
      lora.add(name, randomAdapter(model, config, { seed: i + 3 }).adapter()),
    );
    lora.activate({ a: 0.5, c: 2 });
    const ids = tokens(on.backend, [5, 6]);
    const adapters = ['b', null, 'a', 'c', 'b'];
    const [base, bits] = [await noGrad(() => model.forward(ids)).data(), await modelHashes(model)];
    const z = await noGrad(() => lora.model.forward(ids, { adapters })).data();
    const size = 6 * 11;
    assertSameBits(z.slice(size, 2 * size), base.slice(size, 2 * size), 'the row of none');
    for (const [i, name] of adapters.entries()) {
      lora.activate(name ?? []);
      const row = contiguous(slice(ids, 0, i, i + 1));
      const alone = await noGrad(() => lora.model.forward(row)).data();
      expectClose(z.slice(i * size, (i + 1) * size), alone, on.hasF64 ? 1e-13 : 1e-5, `row ${i} of ${name}`);
    }
    // generation: the cache keeps the rows apart
    const cache = model.newCache(5, 8);
    const steps: Tensor[] = [];
    noGrad(() => {
      for (let t = 0; t < 6; t++) steps.push(lora.model.lastLogits(contiguous(slice(ids, 1, t, t + 1)), { cache, adapters })); // prettier-ignore
    });
    const last = await steps.at(-1)!.data();
    const expected = adapters.flatMap((_, i) => Array.from(z.slice(i * size + 55, (i + 1) * size)));
    expectClose(last, expected, on.hasF64 ? 1e-12 : 1e-5, 'with a cache');
    expect(await modelHashes(model)).toEqual(bits);
  });
});

it('P19: in training, an adapter without a row in a step gets a gradient of zero: the step of the loop over rows', async () => {
  const backend = cpu();
  const build = (): { lora: LoraModel<Gpt2>; sgd: Optimizer } => {
    const lora = new LoraModel(tinyGpt2({ backend }));
    for (const [i, name] of ['a', 'b'].entries())
      lora.add(name, randomAdapter(lora.base, { r: 2, targets: ['v'] }, { seed: i }).adapter());
    lora.activate(['a', 'b']);
    return { lora, sgd: sgd(lora.parameters(), { lr: 0.1, momentum: 0.5 }) };
  };
  const [ids, targets] = [tokens(backend, [2, 4]), tokens(backend, [2, 4], 5)];
  const rows = [['a', null], ['a', 'b'], ['b', 'b']] as const; // prettier-ignore
  const { lora, sgd: optimizer } = build();
  const options = {
    batches: (step: number) => ({ step, validTokens: 8 }),
    loss: ({ step }: { step: number }) => lora.model.loss(ids, targets, { adapters: rows[step] }),
    optimizer,
    steps: 3,
  };
  expect(await failure(async () => train(options))).toBe(
    'grad: b/transformer.h.0.attn.c_attn.v.A [2, 8] does not influence the loss; leave it out, or pass { allowUnused: true } for zeros',
  );
  await train({ ...options, allowUnused: true });

  const { lora: looped, sgd: steps } = build();
  for (const names of rows) {
    const each = [0, 1].map((row) => {
      looped.activate(names[row] === null ? [] : names[row]!);
      const [x, y] = [ids, targets].map((t) => contiguous(slice(t, 0, row, row + 1)));
      return valueAndGrad(() => looped.model.loss(x!, y!).mul(0.5), steps.params, { allowUnused: true })
        .grads;
    });
    steps.step(steps.params.map((_, i) => each[0]![i]!.add(each[1]![i]!)));
  }
  for (const [i, p] of optimizer.params.entries())
    expectClose(await p.data(), await steps.params[i]!.data(), 1e-6, [...optimizer.namedParams.keys()][i]!);
});

describe('P19: what cannot be mixed', () => {
  it('a layer whose input has no batch axis, if a row of the batch wants to change it, and not else', async () => {
    const backend = cpu();
    const model = tinyGpt2({ backend });
    const lora = new LoraModel(model);
    lora.add('places', randomAdapter(model, { r: 1, targets: ['wpe', 'c_fc'] }).adapter());
    lora.add('words', randomAdapter(model, { r: 2, targets: ['v'] }, { seed: 1 }).adapter());
    const ids = tokens(backend, [2, 4]);
    const whole = await lora.model.forward(ids, { adapters: ['words', null] }).data();
    lora.activate('words');
    const alone = await lora.model.forward(slice(ids, 0, 0, 1)).data();
    expectClose(whole.slice(0, alone.length), alone, 1e-6, 'the row of words');
    lora.activate([]);
    expect(await failure(() => lora.model.forward(ids, { adapters: ['words', 'places'] }))).toBe(
      "adapters: 'places' changes a layer whose input has no batch axis, so its rows cannot share a batch with others; give them a batch of their own\n  at transformer.wpe",
    );
  });

  const setUp = async () => {
    const backend = cpu();
    const model = tinyGpt2({ backend });
    const lora = new LoraModel(model);
    const add = async (name: string, config: Parameters<typeof planLora>[1]): Promise<void> =>
      lora.add(name, await createAdapter(planLora(model, { r: 2, targets: ['v'], ...config }), { key: key(1) }));
    await add('plain', {});
    await add('dora', { dora: true });
    await add('whole', { bias: 'all' });
    return { backend, model, lora, ids: tokens(backend, [2, 4]) };
  }; // prettier-ignore
  const at = '\n  at transformer.h.0.attn.c_attn';
  test.each([
    [['plain'], 'gpt2: adapters names 1 rows, and ids have 2'],
    [['plain', 'plain', null], 'gpt2: adapters names 3 rows, and ids have 2'],
    [['plain', 'other'], "adapters: there is no adapter 'other'; there are plain, dora, whole"],
    [['dora', null], "adapters: 'dora' uses DoRA, whose output is not a sum, so its rows cannot share a batch with others; give them a batch of their own"],
    [['whole', 'plain'], "adapters: 'whole' trains transformer.wpe.bias whole"],
  ] as const)('%j is refused', async (adapters, message) => {
    const { lora, ids, model } = await setUp();
    const bits = await hashes(lora.model.namedParameters());
    const said = await failure(() => lora.model.forward(ids, { adapters }));
    if (adapters[0] === 'whole') expect(said).toMatch(/^adapters: 'whole' trains transformer\.\S+\.bias whole, so its rows cannot share a batch/);
    else expect(said).toBe(message.startsWith('gpt2') ? message : message + at);
    expect(await hashes(lora.model.namedParameters())).toEqual(bits);
    await noGrad(() => model.forward(ids)).data();
  }); // prettier-ignore

  test('while an adapter is active that trains parameters whole: no row is its base then', async () => {
    const { lora, ids, backend, model } = await setUp();
    for (const t of lora.adapter('whole').full.values())
      backend.write(t.view.buffer, Float32Array.from({ length: t.size }, () => 3));
    lora.activate('whole');
    const said = await failure(() => lora.model.forward(ids, { adapters: [null, 'plain'] }));
    expect(said).toMatch(/^adapters: 'whole' is active and trains transformer\.\S+ whole, .*; activate others, or none/);
    lora.activate('plain');
    const z = await noGrad(() => lora.model.forward(ids, { adapters: [null, null] })).data();
    assertSameBits(z, await noGrad(() => model.forward(ids)).data(), 'rows of none');
  }); // prettier-ignore

  test('disabled, all rows are the base', async () => {
    const { lora, ids, model } = await setUp();
    const { lora: trained } = { lora: randomAdapter(model, { r: 2, targets: ['v'] }, { seed: 4 }) };
    lora.add('trained', trained.adapter());
    lora.disable();
    const z = await noGrad(() => lora.model.forward(ids, { adapters: ['trained', null] })).data();
    assertSameBits(z, await noGrad(() => model.forward(ids)).data(), 'disabled');
  });
});
