/** The trainable parameters that the LoRA paper prints, beside what its formulas give. https://arxiv.org/abs/2106.09685v2 */
import { countLora } from './count.ts';
import { judge, showJudged, type Judged, type PaperTable } from './printed.ts';
import { table } from './table.ts';

export interface PaperCount {
  readonly method: 'full' | 'LoRA' | 'Adapter' | 'PrefixEmbed' | 'PrefixLayer';
  readonly model: string;
  readonly layers: number;
  /** d_model. */
  readonly width: number;
  /** What is adapted, in words: `q, v`. */
  readonly what: string;
  /** The rank; an adapter's bottleneck; a prefix's tokens; undefined of full fine-tuning. */
  readonly r: number | undefined;
  /** By the paper's own formula (§5.1). */
  readonly count: number;
  /** What the paper prints of it, and whether that follows. */
  readonly printed: readonly Judged[];
  readonly note?: string;
}

interface Model {
  readonly model: string;
  readonly layers: number;
  readonly width: number;
}
const robertaBase: Model = { model: 'RoBERTa base', layers: 12, width: 768 };
const robertaLarge: Model = { model: 'RoBERTa large', layers: 24, width: 1024 };
const debertaXxl: Model = { model: 'DeBERTa XXL', layers: 48, width: 1536 };
const gpt2Medium: Model = { model: 'GPT-2 M', layers: 24, width: 1024 };
const gpt2Large: Model = { model: 'GPT-2 L', layers: 36, width: 1280 };
const gpt3: Model = { model: 'GPT-3', layers: 96, width: 12288 };

type Prints = readonly (readonly [text: string, where: string])[];
const row = (
  method: PaperCount['method'],
  of: Model,
  what: string,
  r: number | undefined,
  count: number,
  prints: Prints,
  note?: string,
): PaperCount => ({
  method,
  ...of,
  what,
  r,
  count,
  printed: prints.map(([text, where]) => judge(count, { text, where })),
  ...(note === undefined ? {} : { note }),
});

/** 2 · L̂ · d · r. */
const lora = (of: Model, what: string, r: number, prints: Prints, note?: string): PaperCount =>
  row('LoRA', of, what, r, countLora({ ...of, matrices: what.split(', '), r }).parameters, prints, note);
/** All of a GPT-2 or GPT-3: a block has 12 d² + 13 d numbers, the embeddings and the last norm (tokens + positions + 2) d. */
const full = (of: Model, positions: number, prints: Prints, note?: string): PaperCount => {
  const { layers, width: d } = of;
  return row('full', of, 'all', undefined, layers * (12 * d * d + 13 * d) + (50_257 + positions + 2) * d, prints, note); // prettier-ignore
};
/** Two adapters a layer, none of whose LayerNorms is counted: L̂ (2 d r + r + d). */
const adapter = (r: number, text: string): PaperCount =>
  row('Adapter', gpt3, 'Adapter^H', r, 2 * gpt3.layers * (2 * gpt3.width * r + r + gpt3.width), [[text, 'Table 15']]); // prettier-ignore

/** What the paper counts as trained, row by row. */
export const paperCounts: PaperTable<PaperCount> = {
  rows: [
    lora(robertaBase, 'q, v', 8, [['0.3M', 'Table 2']]),
    lora(robertaLarge, 'q, v', 8, [['0.8M', 'Table 2']]),
    lora(debertaXxl, 'q, v', 8, [['4.7M', 'Table 2']], 'Table 10 says r = 8; 4.7M is the count of r = 16, which the released scripts have'), // prettier-ignore
    lora(debertaXxl, 'q, v', 16, [['4.7M', 'Table 2']], 'r of the released scripts'),
    lora(gpt2Medium, 'q, v', 4, [['0.35M', 'Table 3']], 'the released checkpoint has 1.5 MB, which is 393,216 numbers in f32'), // prettier-ignore
    lora(gpt2Large, 'q, v', 4, [['0.77M', 'Table 3']]),
    lora(gpt3, 'v', 2, [['4.7M', 'Table 15']]),
    lora(gpt3, 'q, v', 1, [['4.7M', 'Tables 4 and 15']]),
    lora(gpt3, 'q, v', 2, [['9.4M', 'Table 15']]),
    lora(gpt3, 'q, k, v, o', 1, [['9.4M', 'Table 15']]),
    lora(gpt3, 'q, v', 4, [['18.8M', 'Table 15'], ['18M', 'Table 5']]), // prettier-ignore
    lora(gpt3, 'q, k, v, o', 2, [['18.8M', 'Table 15'], ['18M', 'Table 5']]), // prettier-ignore
    lora(gpt3, 'q', 8, [['18M', 'Table 5']]),
    lora(gpt3, 'q, v', 8, [['37.7M', 'Table 15']]),
    lora(gpt3, 'q, k, v, o', 4, [['37.7M', 'Table 15']], 'appendix D.4 says r = 2, Table 15 says 4'),
    lora(gpt3, 'q, v', 64, [['301.9M', 'Table 15']]),
    lora(gpt3, 'q, k, v, o', 64, [['603.8M', 'Table 15']]),
    full(gpt2Medium, 1024, [['354.92M', 'Table 3']], 'the released GPT-2 medium has what is counted'),
    full(gpt2Large, 1024, [['774.03M', 'Table 3']]),
    full(
      gpt3,
      2048,
      [['175,255.8M', 'Table 4']],
      "counted with GPT-2's kinds of weights; GPT-3 was not released",
    ),
    adapter(1, '7.1M'),
    adapter(4, '21.2M'),
    adapter(8, '40.1M'),
    adapter(16, '77.9M'),
    adapter(64, '304.4M'),
    row('PrefixEmbed', gpt3, 'tokens', 264, 264 * gpt3.width, [['3.2M', 'Table 15']], 'd (l_p + l_i)'),
    row('PrefixLayer', gpt3, 'tokens', 16, 16 * gpt3.layers * gpt3.width, [['20.2M', 'Table 15']], 'L d (l_p + l_i)'), // prettier-ignore
  ],
  toString: show,
};

function show(): string {
  const cells = paperCounts.rows.map(({ method, model, what, r, count, printed, note }) => [
    method, model, what, r === undefined ? '' : `r = ${r}`, count.toLocaleString('en'), printed.map(showJudged).join(', ') + (note ? `; ${note}` : ''),
  ]); // prettier-ignore
  return table(cells, [4]);
}
