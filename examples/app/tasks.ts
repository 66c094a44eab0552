/** What the page asks of its worker. */
import type { DeviceName } from 'bax';

/** Of each task: what the page gives, what it is told on the way, what comes of it. */
export interface Tasks {
  open: {
    give: { model: string; device: DeviceName; software: boolean };
    told: { done: number; total: number };
    result: { device: string; parameters: number };
  };
  /** Told the pieces of the text. */
  generate: {
    give: { prompt: string; tokens: number; temperature: number };
    told: string;
    result: undefined;
  };
  train: {
    give: { text: string; steps: number };
    told: { step: number; loss: number; secondsLeft: number };
    result: { steps: number };
  };
  save: { give: string; told: never; result: { bytes: number } };
  list: { give: undefined; told: never; result: string[] };
  /** Nothing takes the adapter off. */
  load: {
    give: { stored: string } | { url: string } | undefined;
    told: never;
    result: { warnings: readonly string[] };
  };
  remove: { give: string; told: never; result: undefined };
  /** A PEFT directory as a .zip. */
  export: { give: string; told: never; result: Uint8Array<ArrayBuffer> };
}
