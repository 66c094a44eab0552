import { noGrad, observe, scope, type Backend, type FusedKernel, type Tensor } from '@bax/core';
import type { Gpt2, KeyValueCache } from '@bax/nn';
import { beforeAll, describe, expect, it } from 'vitest';
import { randomAdapter, tinyGpt2, tokens } from '../../nn/support/gpt2.ts';
import { backendCases } from '../../support/backends.ts';

const shown = ({ shape, dtype, view }: Tensor): string =>
  `${dtype}[${shape.join()}] by ${view.strides.join()} from ${view.offset}`;

/** Every op that reaches the device: its name, module, inputs and outputs with dtypes, shapes and strides. */
function opsOf(f: () => void): string[] {
  const seen: string[] = [];
  observe(
    (op, inputs, outputs, path) =>
      seen.push(`${op} ${inputs.map(shown).join(' | ')} -> ${outputs.map(shown).join(' | ')} at ${path}`),
    f,
  );
  return seen;
}

describe.each(backendCases)(
  'P20: on $name, the merged model runs what the base runs: same ops, modules, shapes, strides, count',
  (device) => {
    /** What the device was asked for, call by call; a second listener, below the ops. */
    let calls: string[] = [];
    let backend: Backend;
    beforeAll(async () => {
      const inner = await device.make();
      backend = Object.create(inner) as Backend;
      for (const name of ['alloc', 'map', 'reduce', 'matmul', 'gather', 'scatterAdd', 'random'] as const) {
        const own = inner[name] as (...args: unknown[]) => unknown;
        const spied = (...args: unknown[]): unknown => {
          calls.push(
            `${name} ${args.map((a) => (typeof a === 'number' || typeof a === 'string' ? a : JSON.stringify(shapesIn(a)))).join(' ')}`,
          );
          return own.apply(inner, args);
        };
        Object.defineProperty(backend, name, { value: spied });
      }
      const fused = Object.entries(inner.fused ?? {}).map(([name, kernel]): [string, FusedKernel] => [
        name,
        (...views) => {
          const taken = kernel(...views);
          if (taken) calls.push(`${name} ${JSON.stringify(shapesIn(views.slice(0, 2)))}`);
          return taken;
        },
      ]);
      if (inner.fused) Object.defineProperty(backend, 'fused', { value: Object.fromEntries(fused) });
    });
    const shapesIn = (x: unknown): unknown => {
      if (Array.isArray(x)) return x.map(shapesIn);
      if (typeof x !== 'object' || x === null) return x;
      return 'shape' in x && 'strides' in x ? [x.shape, x.strides] : Object.keys(x).length;
    };

    const trace = (model: Gpt2, run: (model: Gpt2) => Tensor): { ops: string[]; calls: string[] } => {
      calls = [];
      const ops = opsOf(() => scope(() => noGrad(() => void run(model))));
      return { ops, calls };
    };

    const choices: ('all-linear' | string[])[] = [
      ['q', 'v'],
      ['c_attn', 'mlp.c_proj'],
      'all-linear',
      ['lm_head', 'k'],
    ];
    it.each(choices.map((targets) => ({ targets })))(
      'for each prompt length, with and without a cache, for training, adapter on $targets',
      async ({ targets }) => {
        const config = { tie_word_embeddings: false };
        const base = tinyGpt2({ backend, config });
        const lora = randomAdapter(base, { r: 2, targets });
        const { model: merged } = await lora.merge();
        const runs: ((model: Gpt2) => Tensor)[] = [];
        for (const length of [1, 2, 5, 8]) {
          const ids = tokens(backend, [1 + (length % 2), length]);
          runs.push(
            (m) => m.forward(ids),
            (m) => m.lastLogits(ids),
            (m) => m.loss(ids, ids),
          );
          runs.push((m) => {
            const cache: KeyValueCache = m.newCache(1, 8);
            let last = m.lastLogits(tokens(backend, [1, length]), { cache });
            while (cache.length < 8) last = m.lastLogits(tokens(backend, [1, 1]), { cache });
            cache.dispose();
            return last;
          });
        }
        trace(base, runs.at(-4)!); // positions are made at their first use
        for (const [i, run] of runs.entries()) {
          const [plain, ours, unmerged] = [trace(base, run), trace(merged, run), trace(lora.model, run)];
          expect(ours.ops, `run ${i}`).toEqual(plain.ops);
          expect(ours.calls, `run ${i}`).toEqual(plain.calls);
          expect(plain.ops.length).toBeGreaterThan(10);
          // The control: an adapter that is not merged shows.
          expect(unmerged.calls).not.toEqual(plain.calls);
          expect(unmerged.ops).not.toEqual(plain.ops);
        }
      },
    );
  },
);
