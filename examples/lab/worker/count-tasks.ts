/** What the page asks of its counter: no device, no weights, only sizes. */
import type { PaperCount, PaperMemoryLine } from 'bax';
import type { Home } from './home.ts';
import type { AdapterChoice, Place } from './tasks.ts';

/** The lab's own base, and models that no tab could hold. */
export type CountedModel = 'base' | 'gpt2' | 'gpt2-medium' | 'gpt3';

export interface CountChoice extends Pick<AdapterChoice, 'r' | 'alpha' | 'targets'> {
  readonly model: CountedModel;
  readonly home: Home;
}
export interface CountedMatrix extends Place {
  /** As targets are named: `q`. */
  readonly name: string;
  /** Numbers of its A and B. */
  readonly parameters: number;
}
export interface Counted {
  /** Blocks of the model, all alike. */
  readonly blocks: number;
  /** Those of one block that get an adapter. */
  readonly matrices: readonly CountedMatrix[];
  /** s = α/r. */
  readonly scale: number;
  /** In all blocks. */
  readonly parameters: number;
  /** Of A and B, in the storage that they are kept in. */
  readonly bytes: { readonly f32: number; readonly f16: number };
  readonly modelParameters: number;
}

export interface LedgerChoice extends CountChoice {
  readonly batch: number;
  readonly context: number;
  /** Of the weights that stay frozen; what is trained is f32. */
  readonly frozen: 'f32' | 'f16';
}
export const LEDGER_LINES = ['frozen', 'trained', 'gradients', 'optimizer', 'activations', 'peak'] as const;
/** In bytes, as `planMemory` has them. */
export type Ledger = Readonly<Record<(typeof LEDGER_LINES)[number], number>>;

export interface CountTasks {
  count: { give: CountChoice; told: never; result: Counted };
  ledger: { give: LedgerChoice; told: never; result: { readonly full: Ledger; readonly lora: Ledger } };
  paper: {
    give: undefined;
    told: never;
    result: { readonly counts: readonly PaperCount[]; readonly memory: readonly PaperMemoryLine[] };
  };
}
