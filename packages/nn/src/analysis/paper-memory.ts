/** GPT-3's memory as the LoRA paper has it (§4.2), worked out line by line. https://arxiv.org/abs/2106.09685v2 */
import { countLora } from './count.ts';
import { judge, showJudged, type Judged, type PaperTable } from './printed.ts';
import { showBytes, table } from './table.ts';

export interface PaperMemoryLine {
  readonly what: string;
  /** How it is computed. */
  readonly how: string;
  readonly value: number;
  readonly unit: 'bytes' | 'times';
  readonly printed?: Judged;
  readonly note?: string;
}

/** GPT-3's parameters, as Table 4 prints them. */
const N = 175_255.8e6;
/** LoRA's on q and v with r = 4. */
const n = countLora({ layers: 96, width: 12288, matrices: ['q', 'v'], r: 4 }).parameters;
const TRAINING = '§4.2: VRAM in training';
const STORING = '§4.2: the checkpoint';

const line = (
  what: string,
  how: string,
  value: number,
  unit: PaperMemoryLine['unit'],
  printed?: readonly [text: string, where: string],
  note?: string,
): PaperMemoryLine => ({
  what,
  how,
  value,
  unit,
  ...(printed && { printed: judge(value, { text: printed[0], where: printed[1] }) }),
  ...(note !== undefined && { note }),
});

/** Bytes of training GPT-3, full and with LoRA, beside what the paper prints. */
export const paperMemory: PaperTable<PaperMemoryLine> = {
  rows: [
    line('weights in fp16', '2 N', 2 * N, 'bytes', ['350 GB', STORING], 'N = 175,255.8M, as Table 4 prints it'),
    line("Adam's two moments in fp16", '4 N', 4 * N, 'bytes'),
    line('weights and moments', '6 N', 6 * N, 'bytes', ['1.2 TB', TRAINING], 'the paper does not itemise its 1.2 TB; it lies between this line and the next'),
    line('with gradients in fp16', '8 N', 8 * N, 'bytes', ['1.2 TB', TRAINING]),
    line('in mixed precision', '16 N', 16 * N, 'bytes', ['1.2 TB', TRAINING], 'weights and gradients in fp16, weights and both moments in fp32'),
    line('with LoRA, r = 4 on q and v', '2 N + 8 n', 2 * N + 8 * n, 'bytes', ['350 GB', TRAINING], `n = ${n.toLocaleString('en')}; all of its own in fp16; activations, which the paper does not mention, are left out above, too`),
    line("LoRA's own part of that", '8 n', 8 * n, 'bytes'),
    line("LoRA's own part in mixed precision", '16 n', 16 * n, 'bytes'),
    line('saved, by what the paper prints', '1.2 TB / 350 GB', 1.2e12 / 350e9, 'times', ['3x', 'the abstract']),
    line('saved, of weights and moments', '6 N / (2 N + 8 n)', (6 * N) / (2 * N + 8 * n), 'times', ['3x', 'the abstract'], 'the moments are two of three parts: "up to 2/3"'),
    line("LoRA's checkpoint in fp16", '2 n', 2 * n, 'bytes', ['35 MB', STORING], `${((2 * n) / 2 ** 20).toFixed(1)} MiB`),
    line('smaller than all weights', 'N / n', N / n, 'times', ['10,000x', STORING], 'at 4.7M parameters, r = 1, it is 37,142'),
    line('a hundred tasks with LoRA', '2 N + 100 · 2 n', 2 * N + 200 * n, 'bytes', ['354 GB', '§4.2']),
    line('a hundred tasks without', '100 · 2 N', 200 * N, 'bytes', ['35 TB', '§4.2']),
  ],
  toString: show,
}; // prettier-ignore

function show(): string {
  const cells = paperMemory.rows.map(({ what, how, value, unit, printed, note }) => [
    what,
    how,
    unit === 'bytes' ? showBytes(value) : `${value.toPrecision(4)} x`,
    [...(printed ? [showJudged(printed)] : []), ...(note === undefined ? [] : [note])].join('; '),
  ]);
  return table(cells, [2]);
}
