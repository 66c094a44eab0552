/** Several adapters in one batch, each on its own row; and what a blend of them expects next. */
import { noGrad, sampleToken, scope, softmax, tensor, type Gpt2, type Tensor } from 'bax';
import type { Handlers } from '../../app/calls.ts';
import { model, promptIds } from './model.ts';
import { blended, keptModel } from './shelf.ts';
import type { Tasks } from './tasks.ts';
import type { Next, Together } from './shelf-tasks.ts';

type Rows = readonly (string | null)[];
let vocabulary: readonly string[] | undefined;

export const writingTogether: Pick<Handlers<Tasks>, 'next' | 'together'> = {
  async next({ weights, prompt }) {
    const { base, tokenizer } = model();
    const ids = promptIds(prompt);
    vocabulary ??= Array.from({ length: base.config.vocab_size }, (_, id) => tokenizer.decode([id]));
    return { vocabulary, base: await nextOf(base, ids), blend: await nextOf(blended(weights), ids) };
  },

  async together({ rows, prompt, tokens, temperature, seed }, tell, signal) {
    const { base, tokenizer } = model();
    const { n_positions, vocab_size, eos_token_id } = base.config;
    const lora = keptModel();
    lora.activate([]);
    const seen = rows.map(() => promptIds(prompt));
    const capacity = Math.min(n_positions, seen[0].length + tokens);
    const decoders = rows.map(() => tokenizer.streamDecoder({ skipSpecialTokens: true }));
    const ended = rows.map(() => false);
    const cache = lora.model.newCache(rows.length, capacity);
    try {
      for (let step = 0; seen[0].length < capacity && !ended.every(Boolean); step++) {
        await new Promise((resolve) => setTimeout(resolve)); // messages have their turn
        if (signal.aborted) break;
        const news = seen.map((row) => row.slice(cache.length));
        const logits = await valuesOf(() =>
          lora.model.lastLogits(tensor(news, { dtype: 'i32' }), { cache, adapters: rows }),
        ); // [rows, vocabulary]
        const pieces = rows.map((_, i) => {
          const own = logits.subarray(i * vocab_size, (i + 1) * vocab_size);
          const id = sampleToken(own, step, { temperature, topK: 40, seed });
          ended[i] ||= id === eos_token_id;
          seen[i].push(id);
          return ended[i] ? '' : decoders[i].push(id);
        });
        tell(pieces);
      }
    } finally {
      cache.dispose();
    }
    tell(decoders.map((decoder) => decoder.flush()));
    return compared(rows, seen);
  },
};

/** All logits of the rows, of one batch and of one row after another. */
async function compared(rows: Rows, seen: readonly number[][]): Promise<Together> {
  const lora = keptModel();
  lora.activate([]);
  const all = await valuesOf(() => lora.model.forward(tensor(seen as number[][], { dtype: 'i32' }), { adapters: rows })); // prettier-ignore
  let [difference, largest, at] = [0, 0, 0];
  for (const [i, name] of rows.entries()) {
    lora.activate(name === null ? [] : name);
    for (const z of await valuesOf(() => lora.model.forward(tensor([seen[i]], { dtype: 'i32' })))) {
      difference = Math.max(difference, Math.abs(z - all[at++]));
      largest = Math.max(largest, Math.abs(z));
    }
  }
  return { count: all.length, difference, largest };
}

async function nextOf(of: Gpt2, ids: readonly number[]): Promise<Next> {
  const last = (): Tensor => of.lastLogits(tensor([[...ids]], { dtype: 'i32' })); // [1, vocabulary]
  return { logits: await valuesOf(last), probabilities: await valuesOf(() => softmax(last())) };
}

async function valuesOf(f: () => Tensor): Promise<Float32Array> {
  const t = scope(() => noGrad(f));
  try {
    return Float32Array.from(await t.data());
  } finally {
    t.dispose();
  }
}
