/** Of adapters that are kept, in English. */
import type { Refusal } from '../../worker/tasks-shelf.ts';

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
    `The adapter cannot be used with this page’s model: ${reason}. Take one that was trained on this very model, and export it again where it was made if it is damaged. Nothing was changed.`,
};

export const shelfEn = {
  teachTitle: 'Train one',
  name: 'Name',
  badName: 'Use letters A to Z, digits, _ and -.',
  nameTaken: 'There is an adapter of that name already: choose another one.',
  teach: 'Train an adapter',
  teaching: 'Training an adapter',
  teachHelp: (r: string, alpha: string, targets: string, lr: string) =>
    `As the Training view says: r = ${r}, α = ${alpha}, in ${targets}, learning rate ${lr}. What you trained there stays as it is.`,
  taught: (step: string, steps: string, loss: string) =>
    `Step ${step} of ${steps}: loss ${loss} nats a token.`,
  noOwn: 'paste it above first',

  learned: (steps: string) => `What learned in the Training view in ${steps} steps:`,
  keepAs: 'Keep it as',
  keep: 'Keep',
  export: 'Export',
  exportOf: (name: string) => `Export ${name} as a PEFT directory in a .zip`,
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
