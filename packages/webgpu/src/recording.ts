/**
 * The dispatches of a step, kept to be enqueued again on the same memory. Blocks that the step took and gave back stay
 * with the recording, so that nobody else writes where it will.
 */
import { BaxError } from '@bax/core';
import type { Batch, Dispatch } from './batch.ts';
import type { IndexCall } from './index-call.ts';
import { type Kernel, pack } from './kernel.ts';
import type { Block, GpuTensorBuffer, Owner } from './memory.ts';

/** Parameters that hold a key or scalars by reference. */
interface Live {
  /** Which batch. */
  readonly batch: number;
  readonly kernel: Kernel;
  readonly params: object;
  readonly at: number;
}

export class Recording implements Owner {
  readonly #batches: Batch[] = [];
  readonly #live: Live[] = [];
  readonly indexCalls: IndexCall[] = [];
  readonly #blocks = new Set<Block>();
  /** Blocks from before the recording that the step uses, and how often each had been given back by then. */
  readonly #foreign = new Map<Block, number>();
  readonly #changed = new Set<GpuTensorBuffer>();
  readonly #free = new Map<number, Block[]>();
  closed: boolean = false;
  /** Bytes that the step gave back. */
  waiting: number = 0;

  /** A block that the step gave back before. */
  take(bytes: number): Block | undefined {
    const block = this.#free.get(bytes)?.shift();
    if (block) this.waiting -= bytes;
    return block;
  }
  give(block: Block): void {
    this.waiting += block.bytes;
    const waiting = this.#free.get(block.bytes);
    if (waiting) waiting.push(block);
    else this.#free.set(block.bytes, [block]);
  }
  /** Ends the recording's life; gives the blocks that are nobody else's. */
  close(): Block[] {
    this.closed = true;
    this.waiting = 0;
    return [...this.#free.values()].flat();
  }

  /** A batch that is about to be submitted for the first time. */
  add(batch: Batch): void {
    this.#batches.push(batch.again(0, true));
  }
  /** Of the batch that is added next. */
  holds(kernel: Kernel, params: object, at: number): void {
    this.#live.push({ batch: this.#batches.length, kernel, params, at });
  }
  /** The step writes to it. */
  changes(buffer: GpuTensorBuffer): void {
    if (buffer.type === 'i32') this.#changed.add(buffer);
  }
  use(block: Block): void {
    if (this.#blocks.has(block)) return;
    this.#blocks.add(block);
    if (block.owner !== this) this.#foreign.set(block, block.given);
  }

  /**
   * The batches, to be submitted again under serial numbers from `serial` on, with what their keys and scalars are now.
   * `waits`: not at once, so that these may change before.
   */
  again(serial: number, waits: boolean): Batch[] {
    for (const buffer of this.#changed) buffer.known = undefined;
    for (const { batch, kernel, params, at } of this.#live)
      pack(kernel, params, this.#batches[batch].view, at);
    for (const block of this.#blocks) block.lastUse = serial + this.#batches.length - 1;
    const wait = waits || !this.#batches.every(({ ready }) => ready);
    return this.#batches.map((batch, i) => batch.again(serial + i, wait));
  }
  /** @throws if memory that the step uses is somebody else's by now. */
  check(): void {
    for (const [block, given] of this.#foreign)
      if (block.given !== given)
        throw new BaxError(
          'replay: memory that the recorded step uses was freed since; record it again, or keep what it works on',
        );
  }
  get empty(): boolean {
    return this.#batches.length === 0;
  }
  get dispatches(): number {
    const isDispatch = (step: object): step is Dispatch => 'pipeline' in step;
    return this.#batches.reduce((n, { steps }) => n + steps.filter(isDispatch).length, 0);
  }
}
