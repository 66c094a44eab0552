/** What the page asks of one step of training: its tape, its time, its memory. */
import type { MemoryLedger } from 'bax';
import type { AdapterChoice, Begin, Ran } from './tasks.ts';

/** Where no run has begun, its first step is looked at. */
export type HoodChoice = AdapterChoice & Pick<Begin, 'batch' | 'context'>;

/** What a call read: the result of another one, a weight, or what was there before. */
export type From =
  | { readonly call: number }
  | { readonly parameter: string; readonly isTrained: boolean }
  | { readonly other: 'batch' | 'unrecorded' };
export interface TapeInput {
  readonly from: From;
  readonly shape: readonly number[];
  /** Whether the backward walk asks for its gradient. */
  readonly isAsked: boolean;
}
/** What a call asks of the device. */
export interface Pass {
  readonly ran: readonly Ran[];
  /** The kernels that a GPU is given, by name. */
  readonly kernels: readonly string[];
}
/** One of the calls that a call is composed of. */
export interface InnerCall {
  readonly op: string;
  readonly shape: readonly number[];
  /** Inner calls, or inputs of the outer one. */
  readonly from: readonly ({ readonly call: number } | { readonly input: number })[];
  /** Numbers among its arguments. */
  readonly scalars: readonly number[];
}
export interface TapeCall {
  readonly op: string;
  readonly path: string;
  /** Of the model; what follows the last one is in none. */
  readonly block: number | undefined;
  readonly inputs: readonly TapeInput[];
  readonly shape: readonly number[];
  readonly attrs: string;
  readonly forward: Pass;
  /** For the gradients that are asked for. */
  readonly backward: Pass;
  readonly inner: readonly InnerCall[];
  /** Of an elementwise op: its expression, and what follows from it for g · ∂y/∂x. */
  readonly expression: { readonly y: string; readonly gradient: string | undefined } | undefined;
}
export interface Tape {
  readonly batch: number;
  readonly context: number;
  /** Steps that the adapter has made. */
  readonly steps: number;
  readonly calls: readonly TapeCall[];
  /** Of the whole step, on the device as it is; `unrecorded` ran before the tape begins. */
  readonly ran: Readonly<Record<'unrecorded' | 'forward' | 'backward', readonly Ran[]>>;
  /** Numbers of the weights on the tape: whose gradient is asked for, and whose is not. */
  readonly numbers: { readonly trained: number; readonly frozen: number };
  /** WGSL by the kernel's name. */
  readonly kernels: Readonly<Record<string, string>>;
  readonly memory: Omit<MemoryLedger, 'toString'>;
}
/** In milliseconds; undefined where nothing reaches the device. */
export interface CallTime {
  readonly forward: number | undefined;
  readonly backward: number | undefined;
}
export interface Times {
  /** Of each call alone. */
  readonly calls: readonly CallTime[];
  /** Of the step at one go. */
  readonly whole: { readonly forward: number; readonly backward: number };
}

export interface HoodTasks {
  tape: { give: HoodChoice; told: never; result: Tape };
  times: { give: HoodChoice; told: { readonly done: number; readonly total: number }; result: Times };
}
