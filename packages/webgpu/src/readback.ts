/** Buffers through which the host reads, and the wait for them. */
import { sizeClass, USAGE } from './memory.ts';

const READ = 0x1; // GPUMapMode.READ
/** Bytes of a buffer that is kept; large ones are rare and go back to the system. */
const MOST_KEPT = 2 ** 24;
/** Numbers of dispatches whose wait is remembered. */
const MOST_WAITS = 100;
/** Milliseconds below which a wait is not slept through. */
const SHORT = 10;

export class Readback {
  readonly #device: GPUDevice;
  /** Whether to leave the processor to the adapter. */
  readonly #patient: boolean;
  readonly #free = new Map<number, GPUBuffer[]>();
  /** By dispatches since the read before: milliseconds until the device was done. */
  readonly #waits = new Map<number, number>();
  #last = { serial: 0, dispatches: 0 };
  /** Buffers that were ever made. */
  created = 0;

  constructor(device: GPUDevice, patient: boolean) {
    this.#device = device;
    this.#patient = patient;
  }

  /** A buffer of so many bytes or more, to copy into. */
  take(bytes: number): GPUBuffer {
    const size = sizeClass(bytes);
    const kept = this.#free.get(size)?.pop();
    if (kept) return kept;
    this.created++;
    return this.#device.createBuffer({ label: 'readback', size, usage: USAGE.mapRead | USAGE.copyDst });
  }

  /** What a buffer holds once the device is done with a batch and the `dispatches` enqueued so far; keeps the buffer. */
  async contents(buffer: GPUBuffer, bytes: number, serial: number, dispatches: number): Promise<ArrayBuffer> {
    await this.#mapped(buffer, bytes, serial, dispatches);
    const data = buffer.getMappedRange(0, bytes).slice(0);
    buffer.unmap();
    if (buffer.size > MOST_KEPT) buffer.destroy();
    else {
      const free = this.#free.get(buffer.size);
      if (free) free.push(buffer);
      else this.#free.set(buffer.size, [buffer]);
    }
    return data;
  }

  /**
   * Dawn in Node turns a processor round and round while it waits; a software adapter would rather compute on it. So what
   * has been waited for before (a step of as many dispatches) is slept through for the most part. Only the time of the
   * wait depends on it.
   */
  async #mapped(buffer: GPUBuffer, bytes: number, serial: number, dispatches: number): Promise<void> {
    const since = dispatches - this.#last.dispatches;
    const first = this.#patient && serial > this.#last.serial;
    if (first) this.#last = { serial, dispatches };
    const start = performance.now();
    const expected = first ? (this.#waits.get(since) ?? 0) : 0;
    if (expected > SHORT) await new Promise((resolve) => setTimeout(resolve, 0.75 * expected));
    await buffer.mapAsync(READ, 0, bytes);
    if (!first) return;
    if (this.#waits.size >= MOST_WAITS) this.#waits.clear();
    this.#waits.set(since, performance.now() - start);
  }
}
