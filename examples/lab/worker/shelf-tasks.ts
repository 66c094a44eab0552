/** What the page asks of its worker about adapters that are kept, and the answers. */
import type { AdapterChoice, TextChoice } from './tasks.ts';

/** Kept adapters, by name, and how much of each: W + Σ w ΔW. */
export type Weights = Readonly<Record<string, number>>;
/** Why something does not outlive the page: the browser refuses, or another tab keeps its own. */
export interface NotKept {
  readonly notKept: 'refused' | 'otherTab';
  readonly reason: string;
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
  /** The one that was wished for, if it was free. */
  readonly name: string;
  readonly shelf: Shelf;
  readonly same?: Same;
  /** Of each matrix, what a smaller rank lost, as a share of its ΔW. */
  readonly lost?: readonly { readonly path: string; readonly relative: number }[];
}
export interface Lesson extends AdapterChoice {
  /** It is kept under this one, if it is free. */
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

export interface ShelfTasks {
  /** What is kept. */
  shelf: { give: undefined; told: never; result: Shelf };
  make: { give: { name: string; of: Recipe; prompt: string }; told: never; result: Made };
  remove: { give: string; told: never; result: Shelf };
  /** Teaches an adapter of its own and keeps it; goes on with the one that paused if it is the same lesson. */
  teach: {
    give: Lesson;
    told: { readonly step: number; readonly loss: number };
    result: { readonly steps: number; readonly name: string; readonly shelf: Shelf };
  };
  /** The lesson does not go on: a later one begins anew, even if it is the same. */
  endLesson: { give: undefined; told: never; result: undefined };
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
  export: { give: { name: string; learned: boolean }; told: never; result: Uint8Array<ArrayBuffer> };
  import: { give: readonly File[]; told: never; result: Imported };
}
