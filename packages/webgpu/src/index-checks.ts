/** Indices that only the device knows: kernels note the first bad one, and the next read tells of it. */
import { badIndex, type IndexCall } from './index-call.ts';
import type { Block, DeviceMemory } from './memory.ts';
import type { Queue } from './queue.ts';

/** Bytes of the note: the call's serial number, the position, the index. */
const NOTE = 16;

export class IndexChecks {
  readonly #memory: DeviceMemory;
  readonly #queue: Queue;
  #note: Block | undefined;
  readonly #calls = new Map<number, IndexCall>();
  #serial = 0;

  constructor(memory: DeviceMemory, queue: Queue) {
    this.#memory = memory;
    this.#queue = queue;
  }

  /** Where kernels write the first bad index. */
  get note(): Block {
    if (!this.#note) {
      this.#note = this.#memory.take(256, 'a note of bad indices');
      this.#clear(this.#note);
    }
    return this.#note;
  }
  #clear(note: Block): void {
    this.#queue.write(note, new Uint8Array(NOTE), 0);
  }

  /** A call that is about to be enqueued. `known`: the host has checked its indices. */
  call(op: string, rows: number, known: boolean): IndexCall {
    const call = { op, rows, serial: ++this.#serial };
    if (!known && !this.#queue.dry) {
      this.#calls.set(call.serial, call);
      this.#queue.recording?.indexCalls.push(call);
    }
    return call;
  }
  /** Calls of a recording that is about to be enqueued again. */
  again(calls: readonly IndexCall[]): void {
    for (const call of calls) {
      call.serial = ++this.#serial;
      this.#calls.set(call.serial, call);
    }
  }

  /** Reads as the queue does. Rejects if a call that was enqueued before found a bad index. */
  async read(block: Block, at: number, bytes: number): Promise<ArrayBuffer> {
    if (this.#calls.size === 0) return this.#queue.read(block, at, bytes);
    const calls = new Map(this.#calls);
    const { note } = this;
    const [data, noted] = await Promise.all([
      this.#queue.read(block, at, bytes),
      this.#queue.read(note, 0, NOTE),
    ]);
    const [serial, position, index] = new Int32Array(noted);
    for (const done of calls.keys()) this.#calls.delete(done);
    if (serial !== 0) this.#clear(note);
    const call = calls.get(serial);
    if (call) throw badIndex(call, index, position);
    return data;
  }
}
