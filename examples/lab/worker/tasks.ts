/** What the page asks of its worker, and in which numbers it is answered. Text is never in it: both ends know no language. */
import type { DeviceName } from 'bax';

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
  readonly context: number;
  readonly places: readonly Place[];
}
export interface TextRead {
  readonly characters: number;
  readonly tokens: number;
  /** Of them, the last tenth: never trained on. */
  readonly heldOut: number;
}

/** The lab's models: `base` is frozen; the others begin as it. */
export type Learner = 'lora' | 'full' | 'base';
/** Whose words are asked for. */
export type Voice = Learner | 'merged';
/** Kept adapters, by name, and how much of each: W + Σ w ΔW. */
export type Weights = Readonly<Record<string, number>>;
export type Speaker = Voice | { readonly weights: Weights };

export interface FirstSteps extends AdapterChoice {
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
export interface Begun {
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

/** Why something does not outlive the page: the browser refuses, or another tab keeps its own. */
export interface NotKept {
  readonly notKept: 'refused' | 'otherTab';
  readonly reason: string;
}
/** A run that was kept. Its optimiser begins anew. */
export interface Resumed {
  readonly begin: Begin;
  readonly begun: Begun;
  readonly steps: readonly Step[];
  readonly evaluations: readonly Evaluation[];
}

/** An adapter that is kept under a name. */
export interface Kept {
  readonly name: string;
  /** Its largest rank. */
  readonly r: number;
  readonly matrices: number;
  readonly numbers: number;
  readonly bytes: number;
}
export interface Shelf {
  readonly adapters: readonly Kept[];
  /** What is kept and could not be read. */
  readonly broken: readonly { readonly name: string; readonly reason: string }[];
  readonly notKept?: NotKept | undefined;
}
/** What a new adapter is made of: what learned in the run, or kept ones. */
export type Recipe =
  | { readonly learned: true }
  | { readonly negative: string }
  | { readonly smaller: string; readonly r: number }
  | { readonly sum: Weights };
/** The largest difference of the prompt's logits between two ways to the same, and what rounding may make of it. */
export interface Same {
  readonly difference: number;
  readonly bound: number;
}
export interface Made {
  readonly shelf: Shelf;
  readonly same?: Same;
  /** Of each matrix, what a smaller rank lost, as a share of its ΔW. */
  readonly lost?: readonly { readonly path: string; readonly relative: number }[];
}
export interface Lesson extends AdapterChoice {
  readonly name: string;
  readonly text: TextChoice;
  readonly batch: number;
  readonly context: number;
  readonly lr: number;
  /** In all. */
  readonly steps: number;
}
/** What comes next after a prompt, token by token of the vocabulary. */
export interface Next {
  readonly logits: Float32Array;
  readonly probabilities: Float32Array;
}
/** Rows that went through the model together, against each alone. */
export interface Together {
  /** Logits that were compared. */
  readonly count: number;
  readonly difference: number;
  /** Of the logits themselves. */
  readonly largest: number;
}
/** Why files are no adapter that can be used here; the detail is a name, a size, or what the reader said. */
export interface Refusal {
  readonly why: 'tooLarge' | 'neither' | 'notZip' | 'tooMany' | 'missing' | 'several' | 'unfit';
  readonly detail: string;
}
export type Imported =
  | { readonly refused: Refusal }
  | { readonly shelf: Shelf; readonly name: string; readonly warnings: readonly string[] };

/** A call that reached the device. */
export interface Ran {
  readonly op: string;
  readonly path: string;
  readonly shapes: string;
}
export interface MergedProof {
  /** Logits of the prompt's last token. */
  readonly unmerged: Float32Array;
  readonly merged: Float32Array;
  readonly base: Float32Array;
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
  readonly ran: Readonly<Record<'base' | 'unmerged' | 'merged', readonly Ran[]>>;
}

export interface Tasks {
  open: {
    /** `home` is the page's address: the model lies at base/, texts at texts/. */
    give: { home: string; device: DeviceName; software: boolean };
    told: { done: number; total: number };
    result: Opened;
  };
  read: { give: TextChoice; told: never; result: TextRead };
  /** Told the pieces of the text. */
  generate: {
    give: { voice: Speaker; prompt: string; tokens: number; temperature: number; seed: number };
    told: string;
    result: undefined;
  };
  firstSteps: {
    give: FirstSteps;
    told: never;
    result: { readonly scale: number; readonly steps: readonly FirstStep[] };
  };
  /** Puts new learners at their start. */
  begin: { give: Begin; told: never; result: Begun };
  /** Goes on from where learning stands, until it is stopped or `steps` more are made. */
  learn: {
    give: { steps: number; rates: Rates; evaluateEvery: number };
    told: Step | Evaluation | NotKept;
    result: { readonly steps: number };
  };
  /** Puts the learners where a kept run of the text stood. */
  resume: { give: undefined; told: never; result: Resumed | undefined };
  /** Another rank for what LoRA has learned: its nearest of a smaller one, or the same with more to learn in. */
  rerank: { give: { r: number }; told: never; result: Begun };
  merge: { give: { prompt: string }; told: never; result: MergedProof };
  /** What is kept. */
  shelf: { give: undefined; told: never; result: Shelf };
  make: { give: { name: string; of: Recipe; prompt: string }; told: never; result: Made };
  remove: { give: string; told: never; result: Shelf };
  /** Teaches an adapter of its own and keeps it; goes on with the one that was stopped if it is the same lesson. */
  teach: {
    give: Lesson;
    told: { readonly step: number; readonly loss: number };
    result: { readonly steps: number; readonly shelf: Shelf };
  };
  next: {
    give: { weights: Weights; prompt: string };
    told: never;
    result: { readonly vocabulary: readonly string[]; readonly base: Next; readonly blend: Next };
  };
  /** Rows of one batch, each with a kept adapter or none; told the next piece of each row. */
  together: {
    give: {
      rows: readonly (string | null)[];
      prompt: string;
      tokens: number;
      temperature: number;
      seed: number;
    };
    told: readonly string[];
    result: Together;
  };
  /** A PEFT directory as a .zip: of a kept adapter, or of the one that learned in the run. */
  export: { give: { name: string } | { learned: true }; told: never; result: Uint8Array<ArrayBuffer> };
  import: { give: readonly File[]; told: never; result: Imported };
}
