/** What the page asks of its worker, and in which numbers it is answered. Text is never in it: both ends know no language. */
import type { DeviceName } from 'bax';
import type { Home } from './home.ts';
import type { HoodTasks } from './hood-tasks.ts';
import type { LearnedTasks } from './learned-tasks.ts';
import type { NotKept, ShelfTasks, Weights } from './shelf-tasks.ts';

/** Row by row. */
export interface Numbers {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float32Array;
}

/** A text by the name of a file that comes with the lab, or one of the user's own. */
export type TextChoice = { readonly shipped: string } | { readonly own: string };

/** What adapters are made of. */
export interface AdapterChoice {
  readonly r: number;
  readonly alpha: number;
  /** As `planLora` has them: 'q', 'c_fc', … */
  readonly targets: readonly string[];
  readonly seed: number;
}

/** One matrix of the model that could be adapted. */
export interface Place {
  readonly path: string;
  readonly in: number;
  readonly out: number;
}
export interface Opened {
  readonly device: string;
  /** Of `auto`, where it found no GPU: why. */
  readonly why: string;
  readonly parameters: number;
  readonly bytes: number;
  readonly places: readonly Place[];
}
export interface TextRead {
  /** Counts the texts that were read. */
  readonly version: number;
  readonly characters: number;
  readonly tokens: number;
  /** Of them, the last tenth: never trained on. */
  readonly heldOut: number;
}

/** The lab's models: `base` is frozen; the others begin as it. */
export type Learner = 'lora' | 'full' | 'base';
/** Whose words are asked for. */
export type Voice = Learner | 'merged';
/** One of them, or the base with kept adapters. */
export type Speaker = Voice | { readonly weights: Weights };

export interface FirstSteps extends Omit<AdapterChoice, 'targets'> {
  /** The one matrix that is adapted. */
  readonly path: string;
  readonly lr: number;
  readonly optimizer: 'sgd' | 'adamW';
  /** From 0. */
  readonly steps: number;
}
/** A, B and the gradients of the loss by them, before the step that follows. */
export interface FirstStep {
  readonly loss: number;
  readonly A: Numbers;
  readonly B: Numbers;
  readonly dA: Numbers;
  readonly dB: Numbers;
}

export interface Begin extends AdapterChoice {
  /** Rows of a batch, and tokens of a row. */
  readonly batch: number;
  readonly context: number;
  /** Whether all of a copy of the model learns beside LoRA. */
  readonly full: boolean;
}
/** Too short, in tokens, or too long, in characters; and the bound. */
export interface TextRefusal {
  readonly why: 'tooShort' | 'tooLong';
  readonly size: number;
  readonly bound: number;
}
export interface Begun {
  /** With the adapter's rank as it is now. */
  readonly begin: Begin;
  /** Numbers that are trained. */
  readonly trained: { readonly lora: number; readonly full: number };
  /** Bytes of their gradients and of the optimiser's state. */
  readonly state: { readonly lora: number; readonly full: number };
}
export interface Rates {
  readonly lora: number;
  readonly full: number;
}
/** What a step came to. */
export interface Step {
  /** From 0. */
  readonly step: number;
  readonly rates: Rates;
  /** In nats a token, on the step's batch, before the step. */
  readonly loss: Readonly<Partial<Record<Learner, number>>>;
  /** In seconds. */
  readonly took: Readonly<Partial<Record<Learner, number>>>;
}
/** After so many steps: on held-out windows of the new text, and of the old domain. */
export interface Evaluation {
  readonly steps: number;
  readonly perplexity: Readonly<Partial<Record<Learner, { readonly new: number; readonly old: number }>>>;
}

/** A run that was kept. Its optimiser begins anew. */
export interface Resumed {
  readonly begun: Begun;
  readonly steps: readonly Step[];
  readonly evaluations: readonly Evaluation[];
}

/** A call that reached the device. */
export interface Ran {
  readonly op: string;
  readonly path: string;
  readonly shapes: string;
}
/** And what a GPU is given for it. */
export interface Dispatched extends Ran {
  /** By name. */
  readonly kernels: readonly string[];
}
export interface MergedProof {
  /** Logits of the prompt's last token. */
  readonly unmerged: Float32Array;
  readonly merged: Float32Array;
  /** The tokens, as text. */
  readonly vocabulary: readonly string[];
  /** Of all of the prompt's logits. */
  readonly difference: number;
  readonly bound: number;
  readonly layers: readonly {
    readonly path: string;
    readonly error: number;
    readonly bound: number;
    readonly ratio: number;
  }[];
  /** On the device as it is. */
  readonly ran: Readonly<Record<'base' | 'unmerged' | 'merged', readonly Ran[]>>;
  /** On a GPU, where chains of elementwise calls become one kernel each, which is not shown here. */
  readonly given: Readonly<Record<'base' | 'unmerged' | 'merged', readonly Dispatched[]>>;
}

export interface Tasks extends HoodTasks, LearnedTasks, ShelfTasks {
  open: {
    give: { home: Home; device: DeviceName; software: boolean };
    told: { done: number; total: number };
    result: Opened;
  };
  read: { give: TextChoice; told: never; result: TextRead | { readonly refused: TextRefusal } };
  /** Told the pieces of the text. */
  generate: {
    give: { voice: Speaker; prompt: string; tokens: number; temperature: number; seed: number };
    told: string;
    result: undefined;
  };
  firstSteps: {
    give: FirstSteps;
    told: never;
    result: readonly FirstStep[];
  };
  /** Puts new learners at their start. */
  begin: { give: Begin; told: never; result: Begun };
  /** Goes on from where learning stands, until it is stopped or `steps` more are made. */
  learn: {
    give: { steps: number; rates: Rates; evaluateEvery: number };
    told: Step | Evaluation | NotKept;
    result: { readonly steps: number };
  };
  /** The text is another one: puts the learners where a kept run of it stood, or nowhere. */
  resume: { give: undefined; told: never; result: Resumed | undefined };
  /** Another rank for what LoRA has learned: its nearest of a smaller one, or the same with more to learn in. */
  rerank: { give: { r: number }; told: never; result: Begun };
  merge: { give: { prompt: string }; told: never; result: MergedProof };
}
