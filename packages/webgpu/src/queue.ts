/**
 * The order of calls is the order of effects, whatever has to be waited for. Calls are recorded into batches; a batch is
 * one submit, one pass where nothing but dispatches is in it, and one upload of all its parameters. A batch whose
 * pipelines are not compiled yet holds back itself and all that come after it.
 */
import { ARENA, Batch, culprit, encode } from './batch.ts';
import { type Binding, BindGroups } from './bind-groups.ts';
import { GpuError, type Place } from './errors.ts';
import { type Kernel, pack } from './kernel.ts';
import { type Block, USAGE } from './memory.ts';
import type { Pipeline } from './pipelines.ts';
import { Readback } from './readback.ts';
import type { Recording } from './recording.ts';

/** More dispatches than that are not held back: the device shall work while the host records. */
const BATCH = 128;
/** Milliseconds in which a loss is announced after it was noticed. */
const ANNOUNCED = 2000;
const pause = async (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

export interface QueueCounts {
  readonly dispatches: number;
  readonly submits: number;
  readonly bindGroups: number;
  /** Readback buffers. */
  readonly buffers: number;
}

export class Queue {
  readonly #device: GPUDevice;
  readonly #debug: boolean;
  readonly #uniform: GPUBuffer;
  readonly #alignment: number;
  readonly #groups: BindGroups;
  readonly #readback: Readback;
  #open = new Batch(1);
  /** Of batches that are done, for the next ones. */
  readonly #arenas: Uint8Array<ArrayBuffer>[] = [];
  #waiting: Batch[] = [];
  #submitted = 0;
  /** Resolves when the faults of all that was submitted are known. */
  #checked: Promise<void> = Promise.resolve();
  #flushPlanned = false;
  #faults: { readonly serial: number; readonly error: GpuError; told: boolean }[] = [];
  #lost: GpuError | undefined;
  #dispatches = 0;
  #submits = 0;
  /** Notes what is enqueued, while a step is recorded. */
  recording: Recording | undefined;
  /** Nothing is computed or copied: a step is warmed up. */
  dry = false;
  /** What runs now, for faults. */
  place: Place = { op: 'start', path: '', shapes: '' };

  constructor(device: GPUDevice, { debug, patient }: { readonly debug: boolean; readonly patient: boolean }) {
    this.#device = device;
    this.#debug = debug;
    this.#alignment = device.limits.minUniformBufferOffsetAlignment;
    this.#uniform = device.createBuffer({
      label: 'params',
      size: ARENA,
      usage: USAGE.uniform | USAGE.copyDst,
    });
    this.#groups = new BindGroups(device, this.#uniform);
    this.#readback = new Readback(device, patient);
  }

  get counts(): QueueCounts {
    return {
      dispatches: this.#dispatches,
      submits: this.#submits,
      bindGroups: this.#groups.created,
      buffers: this.#readback.created,
    };
  }

  dispatch<P extends object>(
    kernel: Kernel<P>,
    pipeline: Pipeline,
    bindings: readonly Binding[],
    params: P,
    workgroups: readonly [number, number, number],
    live = false,
  ): void {
    if (this.dry) {
      kernel.bindings.forEach((access, i) => (bindings[i].block.hollow ||= access === 'read_write'));
      return;
    }
    const { uniform } = pipeline.layout;
    if (this.#open.used + uniform > ARENA || this.#open.steps.length >= BATCH) this.flush();
    const batch = this.#open;
    const paramsAt = batch.used;
    pack(kernel, params, batch.view, paramsAt);
    batch.used = Math.ceil((paramsAt + uniform) / this.#alignment) * this.#alignment;
    const group = this.#groups.of(pipeline.layout, bindings);
    for (const { block } of bindings) this.#uses(block);
    if (live) this.recording?.holds(kernel as Kernel, params, paramsAt);
    const origin = this.#debug ? new Error('the call that failed') : undefined;
    batch.steps.push({ pipeline, group, paramsAt, workgroups, place: this.place, origin });
    this.#dispatches++;
    if (this.#debug) this.flush();
  }

  /** Copies bytes between two blocks; offsets and length are multiples of 4. */
  copy(from: Block, fromByte: number, to: Block, toByte: number, bytes: number): void {
    if (this.dry) {
      to.hollow = true;
      return;
    }
    this.#uses(from);
    this.#uses(to);
    this.#open.steps.push({ from: from.gpu, fromByte, to: to.gpu, toByte, bytes });
  }

  #uses(block: Block): void {
    block.lastUse = this.#open.serial;
    this.recording?.use(block);
  }

  /** `data` is the caller's again at once. Offset and length are multiples of 4. */
  write(block: Block, data: Uint8Array<ArrayBuffer>, at: number): void {
    if (this.#lost) return;
    if (block.lastUse <= this.#submitted && !this.recording) {
      this.#device.queue.writeBuffer(block.gpu, at, data);
      return;
    }
    if (block.lastUse === this.#open.serial && this.#open.steps.length > 0) this.flush();
    this.#uses(block);
    this.#open.writes.push({ to: block.gpu, at, data: data.slice() });
  }

  /** Destroys a block when nothing that is queued uses it. */
  retire(block: Block): void {
    this.#groups.forget(block);
    if (block.lastUse <= this.#submitted) block.gpu.destroy();
    else this.#open.retired.push(block.gpu);
  }

  /** The bytes of a block from `at` on, once all that was enqueued is done. Rejects with the first fault. */
  async read(block: Block, at: number, bytes: number): Promise<ArrayBuffer> {
    this.#faults = this.#faults.filter(({ told }) => !told);
    const staging = this.#readback.take(bytes);
    const batch = this.#open;
    block.lastUse = batch.serial;
    batch.steps.push({ from: block.gpu, fromByte: at, to: staging, toByte: 0, bytes });
    this.#planFlush();
    try {
      await batch.done;
      this.#throwFault(batch.serial);
      return await this.#readback.contents(staging, bytes, batch.serial, this.#dispatches);
    } catch (error) {
      staging.destroy();
      // A loss may reach a read before it is announced: in browsers, some tasks later.
      if (!(error instanceof GpuError)) await Promise.race([this.#device.lost, pause(ANNOUNCED)]);
      this.#throwFault(Infinity);
      throw error;
    }
  }

  /** Told by whoever finds out that something failed; the next read rejects with it. */
  fault(error: GpuError, serial: number = this.#open.serial): void {
    this.#faults.push({ serial, error, told: false });
  }
  /** After a loss nothing runs any more: every read rejects. */
  lose(error: GpuError): void {
    this.#lost ??= error;
    for (const batch of this.#waiting.splice(0)) batch.finish();
    this.#open.finish();
  }
  get lost(): GpuError | undefined {
    return this.#lost;
  }

  #throwFault(serial: number): void {
    if (this.#lost) throw this.#lost;
    // What has no memory or no kernel makes other calls invalid: the cause is told, not its consequences.
    const known = this.#faults.filter((fault) => fault.serial <= serial);
    const first = known.find(({ error }) => error.fault !== 'validation') ?? known[0];
    if (!first) return;
    for (const fault of known) fault.told = true;
    throw first.error;
  }

  /** Several reads that are asked for at once share a submit. */
  #planFlush(): void {
    if (this.#flushPlanned) return;
    this.#flushPlanned = true;
    queueMicrotask(() => {
      this.#flushPlanned = false;
      this.flush();
    });
  }

  /** Hands on what was recorded, as far as it is compiled. */
  flush(): void {
    if (this.#open.empty) return;
    this.#waiting.push(this.#open);
    this.recording?.add(this.#open);
    this.#open = new Batch(this.#open.serial + 1, this.#arenas.pop());
    this.pump();
  }

  /** Enqueues what was recorded. */
  replay(recording: Recording): void {
    this.flush();
    const batches = recording.again(this.#open.serial, this.#waiting.length > 0);
    this.#waiting.push(...batches);
    this.#open = new Batch(this.#open.serial + batches.length, this.#open.arena);
    this.#dispatches += recording.dispatches;
    this.pump();
  }

  /** Submits batches in their order, until one has to wait for a pipeline. */
  pump(): void {
    while (this.#waiting.length > 0 && this.#waiting[0].ready) {
      const batch = this.#waiting.shift()!;
      if (this.#lost) batch.finish();
      else this.#submit(batch);
    }
  }

  #submit(batch: Batch): void {
    const device = this.#device;
    const steps = batch.steps.filter((step) => {
      const failure = 'pipeline' in step ? step.pipeline.failure : undefined;
      if (failure && 'pipeline' in step) this.fault(failure.at(step.place), batch.serial);
      return !failure;
    });
    device.pushErrorScope('validation');
    for (const { to, at, data } of batch.writes) device.queue.writeBuffer(to, at, data);
    if (batch.used > 0) device.queue.writeBuffer(this.#uniform, 0, batch.arena, 0, batch.used);
    device.queue.submit([encode(device, steps)]);
    this.#submits++;
    this.#submitted = batch.serial;
    if (!batch.lent) this.#arenas.push(batch.arena);
    for (const buffer of batch.retired) buffer.destroy();
    const before = this.#checked;
    this.#checked = batch.done;
    const check = async (): Promise<void> => {
      const error = await device.popErrorScope().catch(() => null); // the device was lost, which `lose` reports
      if (error && !this.#lost) {
        const step = await culprit(device, steps);
        const cause = step?.origin && { cause: step.origin };
        this.fault(new GpuError('validation', error.message, step?.place, cause), batch.serial);
      }
      await before; // whoever waits for this batch hears of the faults of all before it
      batch.finish();
    };
    void check();
  }
}
