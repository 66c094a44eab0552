/** A merged model costs what the base costs. */
import { type Backend, type FusedKernel, noGrad, observe, scope, type Tensor } from '@bax/core';
import { type Gpt2, type LoraConfig, LoraModel } from '@bax/nn';
import { CheckError } from '../errors.ts';
import type { Check } from '../run.ts';
import { randomAdapter, tinyGpt2, tokens } from './gpt2.ts';
import { lawOfEach, wrapped } from './law.ts';

type Run = (model: Gpt2) => Tensor;

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

const shapesIn = (x: unknown): unknown => {
  if (Array.isArray(x)) return x.map(shapesIn);
  if (typeof x !== 'object' || x === null) return x;
  return 'shape' in x && 'strides' in x ? [x.shape, x.strides] : Object.keys(x).length;
};

/** The backend, and what it is asked for call by call: a second listener, below the ops. */
function spied(inner: Backend): { backend: Backend; calls: string[] } {
  const calls: string[] = [];
  const own: Record<string, unknown> = {};
  for (const name of ['alloc', 'map', 'reduce', 'matmul', 'gather', 'scatterAdd', 'random'] as const) {
    const method = inner[name].bind(inner) as (...args: unknown[]) => unknown;
    own[name] = (...args: unknown[]): unknown => {
      const given = args.map((a) =>
        typeof a === 'number' || typeof a === 'string' ? a : JSON.stringify(shapesIn(a)),
      );
      calls.push(`${name} ${given.join(' ')}`);
      return method(...args);
    };
  }
  if (inner.fused)
    own.fused = Object.fromEntries(
      Object.entries(inner.fused).map(([name, kernel]): [string, FusedKernel] => [
        name,
        (...views) => {
          const taken = kernel(...views);
          if (taken) calls.push(`${name} ${JSON.stringify(shapesIn(views.slice(0, 2)))}`);
          return taken;
        },
      ]),
    );
  return { backend: wrapped(inner, own), calls };
}

/** Prompts of several lengths, with and without a cache, and what training does. */
const runsOn = (backend: Backend): Run[] =>
  [1, 2, 5, 8].flatMap((length): Run[] => {
    const ids = tokens(backend, [1 + (length % 2), length]);
    return [
      (m) => m.forward(ids),
      (m) => m.lastLogits(ids),
      (m) => m.loss(ids, ids),
      (m) => {
        const cache = m.newCache(1, 8);
        let last = m.lastLogits(tokens(backend, [1, length]), { cache });
        while (cache.length < 8) last = m.lastLogits(tokens(backend, [1, 1]), { cache });
        cache.dispose();
        return last;
      },
    ];
  });

const configs: readonly (readonly LoraConfig[])[] = [
  [{ targets: ['q', 'v'] }],
  [{ targets: ['c_attn', 'mlp.c_proj'] }],
  [{ targets: 'all-linear' }],
  [{ targets: ['lm_head', 'k'] }],
  [{ targets: ['wte', 'wpe', 'v'] }],
  [{ targets: ['c_fc', 'q', 'wte'], dora: true }],
  [{ targets: ['q', 'wte'] }, { targets: ['c_attn', 'c_fc'] }, { targets: ['lm_head'], dora: true }],
];

export const traceLaws: readonly Check[] = [
  lawOfEach(
    'P20: the merged model, of one adapter or of several, runs what the base runs: same ops, modules, shapes, strides, count',
    configs,
    async (inner, own) => {
      const { backend, calls } = spied(inner);
      const trace = (model: Gpt2, run: Run): { ops: string[]; calls: string[] } => {
        calls.length = 0;
        const ops = opsOf(() => scope(() => noGrad(() => void run(model))));
        return { ops, calls: [...calls] };
      };
      const base = tinyGpt2({ backend, config: { tie_word_embeddings: false } });
      const lora = new LoraModel(base);
      own.forEach((config, i) => lora.add(`a${i}`, randomAdapter(base, { r: 2, ...config }).adapter()));
      lora.activate(own.map((_, i) => `a${i}`));
      const { model: merged } = await lora.merge();
      const runs = runsOn(backend);
      trace(base, runs.at(-4)!); // positions are made at their first use
      for (const [i, run] of runs.entries()) {
        const [plain, ours, unmerged] = [trace(base, run), trace(merged, run), trace(lora.model, run)];
        for (const list of ['ops', 'calls'] as const) {
          const [expected, got] = [plain[list], ours[list]];
          const at = Array.from({ length: Math.max(expected.length, got.length) }).findIndex((_, j) => got[j] !== expected[j]); // prettier-ignore
          if (at >= 0)
            throw new CheckError(`run ${i}: number ${at} of the ${list} is '${got[at]}', the base's is '${expected[at]}'`); // prettier-ignore
          // The control: an adapter that is not merged shows.
          if (expected.length <= 10 || String(unmerged[list]) === String(expected))
            throw new CheckError(`run ${i}: the trace of ${expected.length} ${list} does not see an adapter`);
        }
      }
    },
  ),
];
