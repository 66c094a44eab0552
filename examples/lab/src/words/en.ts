/** The page in English. */
import type { Learner, Voice } from '../../worker/tasks.ts';
import type { NumberField, Settings } from '../settings.ts';
import type { ViewName } from '../lab.ts';
import { shelfEn } from './shelf-en.ts';

interface ViewWords {
  readonly name: string;
  /** One idea, in a sentence. */
  readonly idea: string;
  /** What to look for. */
  readonly look: string;
}

const learners: Readonly<Record<Learner, string>> = {
  lora: 'LoRA',
  full: 'All weights',
  base: 'Frozen base',
};
const voices: Readonly<Record<Voice, string>> = { ...learners, merged: 'Merged' };
const texts: Readonly<Record<Settings['text'], string>> = {
  'moby-dick': 'Moby-Dick, 1851',
  'early-presidents': 'Presidents to Congress, 1790–1830',
  'recent-presidents': 'Presidents to Congress, 1990–2021',
  own: 'A text of your own',
};
const fields: Readonly<Record<NumberField, string>> = {
  r: 'Rank r',
  alpha: 'α',
  seed: 'Random seed',
  lr: 'Learning rate of LoRA',
  fullLr: 'Learning rate of all weights',
  batch: 'Rows of a batch',
  context: 'Tokens of a row',
  tokens: 'Tokens to write',
  temperature: 'Temperature',
};
const views: Readonly<Record<ViewName, ViewWords>> = {
  steps: {
    name: 'The first steps',
    idea: 'B starts at zero, so the adapter changes nothing yet; and so A cannot learn until B has moved.',
    look: 'At step 0 the map of ∇A is empty: each of its numbers is exactly zero, while ∇B’s are not. Take one step, and ∇A wakes up.',
  },
  training: {
    name: 'Training',
    idea: 'LoRA learns a new text with few numbers; the base stays as it is.',
    look: 'Three models read the same batches. Watch whose loss falls, at what cost, and which of them forgets the old text.',
  },
  merged: {
    name: 'Merged or not',
    idea: 'W + (α/r) B A is one matrix again: the same answers, at the base’s cost.',
    look: 'Merge, and compare: the differences lie under the line that rounding draws, and the device runs the base’s own calls.',
  },
  adapters: {
    name: 'Many adapters',
    idea: 'An adapter is a small change that can be added, weighed, negated and swapped; the base under it stays as it is.',
    look: 'Train two on different texts and move their weights: one base speaks like the one, like the other, or unlike both. A batch can have a row of each.',
  },
};

export const en = {
  title: 'See LoRA learn',
  subtitle: 'A real Transformer, trained in this tab. Nothing that you type leaves your computer.',
  language: 'Language',
  theme: 'Colours',
  themes: { auto: 'As the system', light: 'Light', dark: 'Dark' },
  toContent: 'Skip to the view',
  viewsLabel: 'Views',
  views,
  lookFor: 'Look for',
  lesson: 'The lesson',
  source: 'The source',
  close: 'Close',
  stop: 'Stop',
  tryAgain: 'Try again',

  loadingModel: 'Loading the model',
  readingText: 'Reading the text',
  doing: (what: string) => `${what} …`,
  done: (what: string) => `${what}: done.`,
  stopped: (what: string) => `${what}: stopped.`,
  failed: (what: string) => `${what}: failed.`,
  notLoaded: 'The model is not loaded yet.',
  model: (parameters: string, size: string, device: string) =>
    `GPT-2 with ${parameters} parameters (${size}), on ${device}`,
  noGpu:
    'It computes without a GPU, which is slower and works as well. To use one, take a browser with WebGPU (Chrome, Edge, Safari 26, Firefox 141 and newer), and see that hardware acceleration is on in its settings.',
  notKept:
    'This browser keeps nothing for this page (a private window, perhaps): export what you want to keep.',
  notStored: (reason: string) =>
    `What learns now cannot be kept in this browser (${reason}): export what you want to keep.`,
  otherTab: 'Another tab of this page keeps its run; the run of this tab is gone when it is closed.',
  lost: 'The GPU was lost: the computer slept, perhaps, or its driver was started anew. What was on it is gone; what this browser keeps is not.',
  onWasm: 'Go on without the GPU',
  onGpu: 'Try the GPU again',
  resumed: (steps: string) =>
    `Kept from an earlier visit: ${steps} steps. The adapter goes on from there; the optimiser’s memory of past gradients begins anew, so the first steps may be a little rough. The model of which all weights were trained is not kept.`,

  corpus: 'What is learned',
  text: 'Text to learn',
  texts,
  ownText: 'Paste a text here, a page or more',
  ownFile: 'or open a file',
  useText: 'Use this text',
  textRead: (tokens: string, heldOut: string, characters: string) =>
    `${characters} characters are ${tokens} tokens; the last ${heldOut} are never trained on.`,
  oddScript:
    'This text takes more than one token a character: the small model has met few of its letters. It will learn slowly.',
  fileTooLarge: (size: string) => `The file has ${size}; open one of at most 8 MB.`,
  notText: 'The file is not a text in UTF-8.',

  fields,
  invalid: (least: string, most: string, whole: boolean) =>
    `${whole ? 'A whole number' : 'A number'} from ${least} to ${most}.`,
  targets: 'Matrices with an adapter',
  targetsNone: 'Choose one at least.',
  learners,
  voices,

  numbersCsv: 'Numbers as CSV',
  link: 'Copy a link to these choices',
  linkCopied: 'The link is copied.',

  matrix: 'Matrix',
  optimizer: 'Optimiser',
  step: (n: string) => `Step ${n}`,
  nextStep: 'Take a step',
  backStep: 'Step back',
  firstStep: 'To step 0',
  stepping: 'Taking a step',
  lossIs: (loss: string) => `Loss ${loss} nats a token on this batch.`,
  exactlyZero: (n: string) => `All ${n} numbers are exactly 0.`,
  largestIs: (largest: string, norm: string) => `Largest |value| ${largest}, norm ${norm}.`,
  cell: (name: string, i: number, j: number, value: string) => `${name}[${i}, ${j}] = ${value}`,
  heatHelp: 'Point at a number, or move with the arrow keys.',
  turned: 'on its side',
  whyZero:
    'Why: the chain rule gives each gradient the other factor. With B = 0 there is nothing to multiply A’s with.',
  verdict: {
    asleep: '∇A is exactly zero and ∇B is not: only B moves in this step.',
    awake: 'Both gradients differ from zero: both factors move from here on.',
  },

  start: 'Train',
  goOn: 'Go on',
  pause: 'Pause',
  oneStep: 'One step',
  again: 'Begin anew',
  training: 'Training',
  steps: 'Steps',
  alsoFull: 'Train all weights beside it',
  changeRank: (r: string) => `Go on with rank ${r}`,
  changingRank: 'Changing the rank',
  lossChart: 'Loss on the batch, nats a token',
  newChart: 'Perplexity on held-out new text',
  oldChart: 'Perplexity on the old domain',
  perplexityHelp:
    'Perplexity: among how many equally likely tokens the model wavers. Lower is better. On the old domain a rise is forgetting.',
  comparison: 'What each costs, and what comes of it',
  table: {
    model: 'Model',
    trained: 'Numbers trained',
    share: 'Share of the model',
    state: 'Gradients and optimiser',
    speed: 'Tokens/s',
    loss: 'Loss',
    new: 'New text',
    old: 'Old domain',
  },
  stepOf: (step: string) => `${step} steps made`,
  nothingYet: 'Nothing is learned yet.',
  trainFirst: 'Train 20 steps now',

  merge: 'Merge',
  merging: 'Merging',
  mergedState: 'The adapter is merged: W + (α/r) B A stands in W’s place.',
  unmergedState: 'The adapter runs beside W.',
  prompt: 'Prompt',
  nextToken: 'Next token',
  logit: 'Logit',
  likeliest: (prompt: string) => `The likeliest next tokens after “${prompt}”`,
  difference: 'Difference',
  allLogits: (difference: string, bound: string) =>
    `Largest difference of all the prompt’s logits: ${difference}. Rounding may make it ${bound}.`,
  differenceChart: '|merged − unmerged| of each logit after the last token, against what rounding allows',
  boundLabel: 'bound',
  layers: 'Each merged matrix against W + (α/r) B A computed in f64',
  layer: 'Matrix',
  error: 'Largest error',
  bound: 'Bound there',
  used: 'Closest to its bound',
  ran: 'Calls that ran on the device',
  ranCount: (base: string, unmerged: string, merged: string) =>
    `Base: ${base}. With the adapter beside it: ${unmerged}. Merged: ${merged}.`,
  ranSame: 'The merged model’s calls are the base’s, one by one: same operation, same place, same shapes.',
  ranDiffer: 'The merged model’s calls are not the base’s.',
  operation: 'Operation',
  place: 'Place',
  shapes: 'Shapes',
  writeBoth: 'Write with both',

  ask: 'Ask the model',
  voice: 'Who writes',
  write: 'Write',
  writing: 'Writing',
  written: 'What the model wrote',
  askPauses: 'Asking pauses the training after its step; then it goes on.',

  shelf: shelfEn,
};
export type Words = typeof en;
