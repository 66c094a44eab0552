/** The page in English. */
import type { PaperCount } from 'bax';
import type { Learner, Voice } from '../../worker/tasks.ts';
import type { Refusal } from '../../worker/shelf-tasks.ts';
import type { NumberField, Settings } from '../settings.ts';
import type { ViewName } from '../lab.ts';

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
  otherR: 'Its rank r′',
  otherSeed: 'Its random seed',
};
const views: Readonly<Record<ViewName, ViewWords>> = {
  formula: {
    name: 'The formula',
    idea: 'LoRA leaves the large matrix W as it is, and learns two thin ones beside it.',
    look: 'Drag r: B and A grow from slivers to a good part of W, and the count grows in step with r; α changes no count. Then choose GPT-3: beside its W they are too thin to draw.',
  },
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
  learned: {
    name: 'What was learned',
    idea: 'What LoRA learned is ΔW = (α/r) B A: of the same shape as W, and made of only r directions.',
    look: 'Find the cliff: after the r-th singular value ΔW has nothing left, while the change of all weights goes on. Then ask whether another seed finds the same directions.',
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
  hood: {
    name: 'Under the hood',
    idea: 'A step of training leaves a list of calls, the tape; walked backward, it gives the gradients that were asked for, and no others.',
    look: 'Choose a loraLinear: gradients are asked for x, A and B, but not for the frozen W. That product is never made: this is the arithmetic that LoRA saves.',
  },
};

// ── the formula
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

const formula = {
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
    help: 'Worked out for one step with AdamW, without dropout, by running it on a device that only counts. “At most at once” is not their sum: activations go while gradients come, and what a call needs for itself comes on top.',
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
    countHead: [
      'Method',
      'Model',
      'What is adapted',
      'r or length',
      'The formula gives',
      'The paper prints',
      'Verdict',
      'Note',
    ],
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
};

// ── what was learned
const learned = {
  reading: 'Looking at what was learned',
  matrix: 'Matrix',
  change: 'ΔW',
  noFull:
    'To see the change of all weights beside it, let them train too: tick that box in the view Training and begin anew.',
  spectrum: {
    title: 'Singular values of ΔW',
    index: 'i',
    cliff: (r: number) => `r = ${r}`,
    lora: (r: number, effective: string) =>
      `LoRA: ${r} directions and no more, of effective rank ${effective}.`,
    full: (rank: string, effective: string) =>
      `All weights: ${rank} directions, of effective rank ${effective}.`,
    help: 'A singular value says how strongly ΔW acts along one direction. The effective rank is the number of equally strong directions that would be spread as evenly. After r, LoRA’s values are rounding alone, some 16 digits below the first.',
  },
  amplification: {
    title: 'How much LoRA amplifies',
    help: 'The paper’s Table 7: how large W is along r directions on either side, ‖UᵀWV‖, with U and V of three kinds.',
    ofDelta: 'W along the directions of ΔW',
    ofWeight: 'W along its own strongest directions',
    random: 'W along random directions',
    randomExpected: 'the same, by the formula r‖W‖/√(d k)',
    weight: '‖W‖',
    delta: '‖ΔW‖',
    factor: 'Amplification: ‖ΔW‖ over W along ΔW’s directions',
    factorUnscaled: 'the same without α/r: the paper does not say which it means',
    of: (r: number, seed: number) => `r = ${r}, seed ${seed}`,
    what: 'Measured',
    none: 'not determined',
    verdict: (factor: string, random: string) =>
      `ΔW is ${factor} times as large as W is along ΔW’s directions; there W is ${random} times as large as the formula gives for random ones.`,
  },
  other: {
    title: 'Does another adapter find the same directions?',
    help: 'Train another one on the very same batches, with another start or another rank, and compare: φ(i, j) says how much of its first i directions lies in the other’s first j, from 0 (nothing) to 1 (all).',
    train: 'Train the other adapter',
    training: 'Training the other adapter',
    seed: (seed: number) =>
      `Choose another seed than ${seed}: with the same one both adapters start with the same directions, and would share them for that reason alone.`,
    directions: 'Directions of',
    choices: { A: 'A, as in the paper', delta: 'ΔW' },
    sides: (r: number, seed: number, otherR: number, otherSeed: number) =>
      `Down: i, of r = ${r}, seed ${seed}. To the right: j, of r′ = ${otherR}, seed ${otherSeed}.`,
    measured: 'φ(i, j)',
    random: 'φ(i, j) of random matrices',
    says: (first: string, last: string) => `φ(1, 1) = ${first}; all of both: ${last}.`,
    cell: (name: string, i: number, j: number, value: string) => `${name}(${i}, ${j}) = ${value}`,
    undetermined: 'not determined',
    verdict: (first: string, random: string) =>
      `The strongest direction of each: φ(1, 1) = ${first}. Random directions would share ${random}.`,
    scale:
      'In both pictures no colour is 0 and full colour 1, by the square root, so that little is seen, too; grey is not determined.',
  },
  everywhere: {
    title: 'All matrices',
    look: 'Look at all matrices',
    looking: 'Looking at all matrices',
    head: ['Matrix', '‖W‖', '‖ΔW‖', 'Effective rank', 'Amplification'],
  },
};

// ── many adapters
const whatToDo =
  'Choose the .zip that this page exported, or the two files that PEFT’s save_pretrained wrote: adapter_config.json and adapter_model.safetensors. Nothing was changed.';
const refused: Readonly<Record<Refusal['why'], (detail: string) => string>> = {
  tooLarge: (size) =>
    `That is ${size}; an adapter for this model has less than 32 MB, so this one is for another model. Nothing was changed.`,
  neither: (names) => `These files are not an adapter: ${names}. ${whatToDo}`,
  notZip: (place) => `The file is not a .zip that can be read, or it is damaged (${place}). ${whatToDo}`,
  tooMany: (count) => `The archive has ${count} files, and an adapter is two. ${whatToDo}`,
  missing: (file) => `There is no ${file}. ${whatToDo}`,
  several: (file) =>
    `There are several adapters (more than one ${file}): choose one at a time. Nothing was changed.`,
  unfit: (reason) =>
    `The adapter cannot be used with this page’s model: ${reason}. It must be a kind of LoRA that bax reads, trained on this very model, and whole. Nothing was changed.`,
};

const shelf = {
  teachTitle: 'Train one',
  name: 'Name',
  badName: 'Use letters A to Z, digits, _ and -.',
  nameTaken: 'There is an adapter of that name already: choose another one.',
  otherName: (wish: string, name: string) =>
    `Another tab of this page has kept an adapter called “${wish}” meanwhile: this one is here as “${name}”.`,
  teach: 'Train an adapter',
  teaching: 'Training an adapter',
  teachHelp: (r: string, alpha: string, targets: string, lr: string) =>
    `As the Training view says: r = ${r}, α = ${alpha}, in ${targets}, learning rate ${lr}. What you trained there stays as it is.`,
  taught: (step: string, steps: string, loss: string) =>
    `Step ${step} of ${steps}: loss ${loss} nats a token.`,
  noOwn: 'paste it above first',

  learned: (steps: string) => `The adapter of the Training view, after ${steps} steps:`,
  keepAs: 'Keep it as',
  keep: 'Keep',
  export: 'Export',
  exportOf: (name: string) => `Export ${name} as a PEFT directory in a .zip`,
  exportHelp:
    'Exported, those of q, k and v are one adapter, whose rank is the sum of theirs, with zeros in it: the three are one fused matrix, for which PEFT has one adapter.',
  exporting: 'Exporting',
  import: 'Import an adapter: a .zip, or its two files',
  importing: 'Importing',
  imported: (name: string) => `It is here as “${name}”, and writes alone now.`,
  warned: (warning: string) => `The reader says: ${warning}.`,
  refused,

  title: 'Kept adapters',
  none: 'None yet: train one, keep what learned in the Training view, or import one.',
  about: (r: string, matrices: string, numbers: string, size: string) =>
    `r = ${r}, ${matrices} matrices, ${numbers} numbers, ${size}`,
  weight: 'Weight',
  weightOf: (name: string) => `Weight of ${name}`,
  alone: 'Alone',
  aloneOf: (name: string) => `${name} alone`,
  baseAlone: 'The base alone',
  negate: 'Negated copy',
  negateOf: (name: string) => `Negated copy of ${name}`,
  rankOf: (name: string) => `Rank of a smaller copy of ${name}`,
  smaller: 'Copy of rank',
  smallerOf: (name: string, rank: string) => `Copy of rank ${rank} of ${name}`,
  remove: 'Delete',
  removeOf: (name: string) => `Delete ${name}`,
  removing: 'Deleting',
  sureRemove: (name: string) =>
    `Delete the adapter ${name}? There is no way back but a .zip that you exported.`,
  broken: (name: string, reason: string) => `${name} is kept, but cannot be read: ${reason}`,
  making: 'Making an adapter',
  inUse: 'The blend in use',
  sumAs: 'Make one adapter of it, as',
  sum: 'Add up',
  sameSum: (name: string, difference: string, bound: string) =>
    `“${name}” does alone what the blend does: the prompt’s logits differ by at most ${difference}. Rounding may make it ${bound}.`,
  sameNegative: (name: string, difference: string, bound: string) =>
    `“${name}”, beside the one that it negates, gives the base back: the prompt’s logits differ by at most ${difference}. Rounding may make it ${bound}.`,
  lost: (name: string, most: string, path: string, least: string) =>
    `“${name}” is the nearest of its rank. It lacks ${most} of ‖ΔW‖ where it lacks most (${path}), and ${least} where least.`,
  lostTable: 'What the smaller rank lost',

  next: 'What comes next',
  nextHelp: 'Move a weight and watch. The numbers are probabilities, computed anew each time.',
  base: 'Base',
  blend: 'Blend',
  writeBlend: 'Write with the blend',

  together: 'Several in one batch',
  togetherHelp: (rows: string) =>
    `${rows} rows, one batch: W is multiplied once for all of them, and each row has its own B A added, or none.`,
  writeTogether: 'Write the rows together',
  row: 'Row',
  sameTogether: (count: string, difference: string, largest: string) =>
    `All ${count} logits, compared with those of each row alone: the largest difference is ${difference}, where logits go up to ${largest}.`,
  sameBits: (count: string) => `All ${count} logits have the very bits that each row has alone.`,

  sizes: 'Bytes, to scale',
  oneBase: (count: string) => `One base and its adapters (${count})`,
  wholeModels: (count: string) => `As many models, each trained whole (${count})`,
  sizesAre: (base: string, adapters: string, whole: string) =>
    `The base has ${base}, the adapters together ${adapters}. Models of their own would have ${whole}.`,
  bytes: 'Bytes',
};

// ── under the hood
const hood = {
  reading: 'Taking a step apart',
  measuring: 'Timing each call',
  about: (step: string, rows: string, tokens: string) =>
    `The calls of step ${step} of LoRA’s training, on its next batch of ${rows} × ${tokens} tokens. On the way back each of them is given the gradient of its result, and hands it on to those inputs that depend on A or B, or are one.`,
  onTape: 'Calls on the tape',
  ran: 'Calls that reach the device',
  forward: 'forward',
  backward: 'backward',
  asked: 'Numbers whose gradient is asked for',
  neverAsked: 'Frozen numbers beside them',
  before: (ops: string) =>
    `Before the tape begins, ${ops} ran unrecorded: nothing that is trained stands before them, so no gradient is needed there.`,
  legend:
    'In the picture W marks frozen weights, A B trained ones; a call with a dashed edge is a mere view, which moves no numbers.',
  drawn:
    'The tape as a graph, from its first call down to the loss. The same calls are in the tree that follows.',
  graph: 'The tape, drawn',
  tree: 'The calls of the tape',
  end: 'after the last block',
  calls: (n: string) => `${n} calls`,

  inputs: 'What the call reads',
  inputHead: ['Input', 'What it is', 'Shape', 'Its gradient, of g = ∇y'],
  from: { batch: 'the batch', unrecorded: 'computed before the tape begins' },
  trained: 'trained',
  frozen: 'frozen',
  notAsked: 'not asked for',
  gives: 'Gives y',
  expression: 'Computed for each element:',
  derived: 'Derived from it, for the gradient:',
  time: (forward: string, backward: string) => `Forward ${forward}, backward ${backward}.`,
  nothing: 'nothing runs',
  madeOf: 'What it is made of',
  kernels: 'Kernels',
  noWgsl:
    'Here WebAssembly computes. These are the WGSL kernels that a GPU would be given for the same call:',
  mapKernel: 'map: WGSL made of the expression',

  timesTitle: 'Time, call by call',
  timesHelp:
    'Each call of the tape is run alone, some times in a row, until a number of the last result can be read; the median of five such rounds counts. The step at one go differs from their sum: elementwise calls join into one there, nobody waits in between, and there is more to do: the embedding, and adding up gradients.',
  measure: 'Time each call',
  whole: (both: string, forward: string, backward: string, calls: string) =>
    `The step at one go, both ways: ${both} ms (${forward} forward, ${backward} backward). Its calls one by one: ${calls} ms.`,
  kindHead: ['Call', 'Forward, ms', 'Backward, ms', 'Share'],
  callHead: [
    'Call',
    'Operation',
    'Place',
    'Gradients asked for',
    'Not asked for',
    'Gives',
    'Kernels forward',
    'Kernels backward',
    'Forward, ms',
    'Backward, ms',
  ],

  memoryTitle: 'Where the memory of this step is',
  memoryHelp: 'Measured on the device as it makes the step, the batch included.',
  keptTitle: 'What the tape keeps for the way back',
  keptHead: ['Operation', 'Place', 'Results', 'Bytes'],
};

// ── the page
export const en = {
  title: 'See LoRA learn',
  subtitle:
    'A real Transformer, trained in this tab. What you type is kept in this browser, and leaves it for nowhere.',
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
    `GPT-2 with ${parameters} parameters (${size}), on ${device}.`,
  knows:
    'It has read American presidents’ addresses to Congress, 1790 to 2021, and nothing else. Teach it another text, and see what it forgets.',
  noGpu: 'It computes without a GPU, which is slower and works as well.',
  useGpu: 'To use a GPU',
  howGpu:
    'Take a browser with WebGPU (Chrome, Edge, Safari 26, Firefox 141 and newer), and see that hardware acceleration is on in its settings.',
  notKept:
    'This browser keeps nothing for this page (a private window, perhaps): export what you want to keep.',
  notStored: (reason: string) =>
    `What learns now cannot be kept in this browser (${reason}): export what you want to keep.`,
  fromDisk: 'Opened from a disk, this page can keep nothing: export what you want to keep.',
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
  notUsedYet: (inUse: string) => `Not in use yet: press “Use this text”. Until then “${inUse}” is learned.`,
  tooShort: (tokens: string, least: string) =>
    `This text is too short to learn from: it has ${tokens} ${tokens === '1' ? 'token' : 'tokens'}, and ${least} are needed, about a page.`,
  ownNotKept: 'This text is in use, but has no room in this browser: it is gone when the page is closed.',
  tooLong: (characters: string, most: string) =>
    `This text is too long: it has ${characters} characters, and ${most} can be read.`,
  sureLeave: (steps: string) =>
    `This ends the run (steps made: ${steps}). To have its adapter later, keep or export it first. End the run?`,
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
  linkNotCopied: 'The browser does not let this page copy: take the link from the address bar.',
  takeHome: 'Take this page home: a .zip that works without a network',

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
  heatKey:
    'Orange is above 0, blue below, blank is 0. Colour goes by the square root, so that little is seen, too. Full colour is the largest value of each map by itself, so compare maps by their numbers.',
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
  changeRank: (r: string) => `Change to rank ${r}`,
  changingRank: 'Changing the rank',
  lossChart: 'Loss on the batch, nats a token',
  newChart: 'Perplexity on held-out new text',
  oldChart: 'Perplexity on the old domain',
  perplexityHelp:
    'Perplexity: among how many equally likely tokens the model wavers. Lower is better. The old domain is what the base knows: presidents’ addresses, of which these were kept from it. There a rise is forgetting. LoRA forgets, too, while its adapter is on; without it the base is back, number for number. All weights cannot be switched off.',
  baseHasRead:
    'The base has read the addresses that are trained on here, but not those at the end of this text, on which perplexity is measured.',
  comparison: 'What each costs, and what comes of it',
  table: {
    model: 'Model',
    trained: 'Numbers trained',
    share: 'Share of the model',
    state: 'Gradients and optimiser',
    speed: 'Tokens/s',
    loss: 'Loss, mean of the last 10 steps',
    new: 'Perplexity, new text',
    old: 'Perplexity, old domain',
  },
  tableNone: {
    full: 'not kept',
  },
  stepOf: (step: string) => (step === '1' ? '1 step made' : `${step} steps made`),
  runHas: (r: string, alpha: string, targets: string, seed: string, rows: string, tokens: string) =>
    `This run has r = ${r}, α = ${alpha}, in ${targets}, seed ${seed}, ${rows} × ${tokens} tokens a step. What else is chosen here takes effect when you begin anew.`,
  meanwhile: 'An adapter is being trained. What stands here was found before that.',
  nothingYet: 'Nothing is learned yet.',
  measuredAt: (step: string) => `after ${step} steps`,
  byHeart: (step: string) =>
    `LoRA’s perplexity on the held-out text was lowest after ${step} steps, and has risen since: it now learns the text by heart. Stop there, take a lower learning rate, or give it more text.`,
  trainFirst: 'Train 20 steps now',

  formula,
  learned,

  merge: 'Merge',
  unmerge: 'Unmerge',
  merging: 'Merging',
  mergedState: 'The adapter is merged: W + (α/r) B A stands in W’s place.',
  unmergedState: 'The adapter runs beside W.',
  prompt: 'Prompt',
  nextToken: 'Next token',
  logit: 'Logit',
  logitOf: { merged: 'Logit, merged', unmerged: 'Logit, unmerged' },
  likeliest: (prompt: string) => `The likeliest next tokens after “${prompt}”`,
  difference: 'Difference',
  signed: 'Merged − unmerged',
  allLogits: (difference: string, bound: string) =>
    `Largest difference of all the prompt’s logits: ${difference}. Rounding can account for up to ${bound}.`,
  vocabulary: (last: string) => `Token of the vocabulary, 0 to ${last}`,
  differenceChart: '|merged − unmerged| of each logit after the last token, against what rounding allows',
  boundLabel: 'bound',
  layers: 'Each merged matrix against W + (α/r) B A computed in f64',
  layer: 'Matrix',
  error: 'Largest error',
  bound: 'Bound there',
  used: 'Of all its numbers, the closest to its own bound',
  ran: 'Calls of a forward pass, and the kernels that a GPU is given for them',
  ranCount: (base: string, unmerged: string, merged: string) =>
    `Kernels for the base: ${base}. With the adapter beside it: ${unmerged}. Merged: ${merged}.`,
  ranSame: (calls: string) =>
    `The merged model’s calls are the base’s, one by one: same operation, same place, same shapes, same kernels. Measured on this device, too: all ${calls} calls are the same.`,
  ranDiffer: 'The merged model’s calls are not the base’s.',
  givenTo: { base: 'Base', unmerged: 'With the adapter beside it', merged: 'Merged' },
  kernels: 'Kernels',
  operation: 'Operation',
  place: 'Place',
  shapes: 'Shapes',
  writeBoth: 'Write with both',

  ask: 'Ask the model',
  voice: 'Who writes',
  write: 'Write',
  writing: 'Writing',
  written: 'What the model wrote',
  sameSeed: 'The same seed and temperature write the same text again.',
  unreadable: 'Boxes and � are pieces of letters that the small model has not learned to put together yet.',
  askPauses: 'Asking pauses the training after its step; then it goes on.',

  shelf,
  hood,
};
export type Words = typeof en;
