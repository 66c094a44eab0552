/** The view of the formula, in English. */
import type { PaperCount } from 'bax';
import type { Settings } from '../settings.ts';

const models: Readonly<Record<Settings['counted'], string>> = {
  base: 'The lab’s own base',
  gpt2: 'GPT-2 small',
  'gpt2-medium': 'GPT-2 medium',
  gpt3: 'GPT-3 175B',
};
const methods: Readonly<Record<PaperCount['method'], string>> = {
  full: 'All weights',
  LoRA: 'LoRA',
  Adapter: 'Adapter',
  PrefixEmbed: 'PrefixEmbed',
  PrefixLayer: 'PrefixLayer',
};

export const formula = {
  countFor: 'Count for',
  models,
  drawn: 'Which W is drawn',
  kinds: { frozen: 'frozen', learned: 'learned', sum: 'never stored' },
  picture: (name: string, out: number, from: number, r: number, times: string) =>
    `To scale, for the matrix ${name}: W [${out}, ${from}] is frozen; beside it are learned B [${out}, ${r}] and A [${r}, ${from}]. W’s longest side is ${times} times the rank.`,
  thin: (times: string) => `All drawn to one scale: W’s longest side is ${times} times as long as B is wide.`,
  tooThin: 'B and A are too thin for any screen, so they are shown as lines.',
  trained: 'Numbers trained',
  share: 'Share of the model',
  file: 'The adapter’s size',
  each: (weight: string, r: number, from: number, out: number, count: string) =>
    `This W has ${weight} numbers; its A and B have r (in + out) = ${r} (${from} + ${out}) = ${count}.`,
  all: (matrices: string, count: string, model: string) =>
    `All ${matrices} adapted matrices together: ${count} numbers are trained, and the model’s ${model} stay as they are.`,

  memory: {
    title: 'Where the memory of training goes',
    help: 'Worked out for one step with AdamW, without dropout, by running it on a device that only counts.',
    frozenAs: 'Frozen weights kept in',
    what: 'What is kept',
    lines: {
      frozen: 'Frozen weights',
      trained: 'Trained weights',
      gradients: 'Gradients',
      optimizer: 'The optimiser’s state',
      activations: 'Activations',
      peak: 'At most at once',
    },
    saved: (times: string) =>
      `All weights need ${times} times as much memory. LoRA saves gradients and the optimiser’s state; the frozen weights and the activations stay, and activations grow with every token of a batch.`,
  },

  paper: {
    title: 'What the paper prints',
    help: (rows: string, differing: string) =>
      `Its ${rows} counts, each worked out again by its own formula. Of these rows, ${differing} print another number than the formula gives: they are marked. Where the matrices are underlined, press them to count that row above.`,
    counts: 'Trained numbers in the paper',
    countHead: ['Method', 'Model', 'What is adapted', 'r or length', 'The formula gives', 'The paper prints', 'Verdict', 'Note'],
    memory: 'GPT-3’s memory in the paper, line by line',
    memoryHead: ['What', 'How', 'Comes to', 'The paper prints', 'Verdict', 'Note'],
    methods,
    verdicts: {
      rounded: 'agrees',
      truncated: 'agrees, digits cut off',
      differs: (by: string) => `differs by ${by}`,
    },
    /** What the packages say of the paper, in English. */
    say: (text: string) => text,
  },
}; // prettier-ignore
