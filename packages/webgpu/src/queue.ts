/**
 * The order of calls is the order of effects, whatever has to be waited for. Calls are recorded into batches; a batch is
 * one submit, one pass where nothing but dispatches is in it, and one upload of all its parameters. A batch whose
 * pipelines are not compiled yet holds back itself and all that come after it.
 */
import { GpuError, type Place } from './errors.ts';
import { type Kernel, pack } from './kernel.ts';
import { type Block, sizeClass, USAGE } from './memory.ts';
import type { Layout, Pipeline } from './pipelines.ts';

/** More dispatches than that are not held back: the device shall work while the host records. */
const BATCH = 128;
/** Bytes of parameters of a batch. */
const ARENA = 2 ** 17;

/** Bind groups that are kept for the next time: each costs lavapipe a mapping, of which a process has 65,530. */
const MOST_GROUPS = 4096;

/** Bytes of a readback buffer that is kept. */
const MOST_STAGING = 2 ** 24;

/** Part of a block that a dispatch sees; all of it where it fits into a binding. */
export interface Binding {
  readonly block: Block;
  readonly offset?: number;
  readonly size?: number;
}

interface Dispatch {
  readonly pipeline: Pipeline;
  readonly group: GPUBindGroup;
  readonly paramsAt: number;
  readonly workgroups: readonly [number, number, number];
  readonly place: Place;
  /** Where the host made the call; in debug mode only. */
  readonly origin: Error | undefined;
}
interface Copy {
  readonly from: GPUBuffer;
  readonly fromByte: number;
  readonly to: GPUBuffer;
  readonly toByte: number;
  readonly bytes: number;
}
interface Write {
  readonly to: GPUBuffer;
  readonly at: number;
  readonly data: Uint8Array<ArrayBuffer>;
}

class Batch {
  readonly serial: number;
  /** Done before the steps. */
  readonly writes: Write[] = [];
  readonly steps: (Dispatch | Copy)[] = [];
  readonly retired: GPUBuffer[] = [];
  readonly arena: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
  used = 0;
  /** Resolves when it was submitted and its faults are known. */
  readonly done: Promise<void>;
  #resolve!: () => void;
  constructor(serial: number, arena: Uint8Array<ArrayBuffer> = new Uint8Array(ARENA)) {
    this.serial = serial;
    this.arena = arena;
    this.view = new DataView(arena.buffer);
    this.done = new Promise((resolve) => (this.#resolve = resolve));
  }
  finish(): void {
    this.#resolve();
  }
  get empty(): boolean {
    return this.steps.length === 0 && this.writes.length === 0 && this.retired.length === 0;
  }
}

export interface QueueCounts {
  readonly dispatches: number;
  readonly submits: number;
  readonly bindGroups: number;
}

export class Queue {
  readonly #device: GPUDevice;
  readonly #debug: boolean;
  /** Whether to leave the processor to the adapter. */
  readonly #patient: boolean;
  /** By dispatches since the read before: milliseconds until the device was done. */
  readonly #waits = new Map<number, number>();
  #countedAt = { serial: 0, dispatches: 0 };
  readonly #uniform: GPUBuffer;
  readonly #alignment: number;
  readonly #groups = new Map<string, GPUBindGroup>();
  readonly #groupsOf = new Map<number, string[]>();
  readonly #staging = new Map<number, GPUBuffer[]>();
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
  #counts = { dispatches: 0, submits: 0, bindGroups: 0 };
  /** Readback buffers that were ever made. */
  created = 0;
  /** What runs now, for faults. */
  place: Place = { op: 'start', path: '', shapes: '' };

  constructor(device: GPUDevice, { debug, patient }: { readonly debug: boolean; readonly patient: boolean }) {
    this.#device = device;
    this.#debug = debug;
    this.#patient = patient;
    this.#alignment = device.limits.minUniformBufferOffsetAlignment;
    this.#uniform = device.createBuffer({
      label: 'params',
      size: ARENA,
      usage: USAGE.uniform | USAGE.copyDst,
    });
  }

  get counts(): QueueCounts {
    return { ...this.#counts };
  }

  dispatch<P extends object>(
    kernel: Kernel<P>,
    pipeline: Pipeline,
    bindings: readonly Binding[],
    params: P,
    workgroups: readonly [number, number, number],
  ): void {
    const { uniform } = pipeline.layout;
    if (this.#open.used + uniform > ARENA || this.#open.steps.length >= BATCH) this.flush();
    const batch = this.#open;
    const paramsAt = batch.used;
    pack(kernel, params, batch.view, paramsAt);
    batch.used = Math.ceil((paramsAt + uniform) / this.#alignment) * this.#alignment;
    const group = this.#group(pipeline.layout, bindings);
    for (const { block } of bindings) block.lastUse = batch.serial;
    const origin = this.#debug ? new Error('the call that failed') : undefined;
    batch.steps.push({ pipeline, group, paramsAt, workgroups, place: this.place, origin });
    this.#counts.dispatches++;
    if (this.#debug) this.flush();
  }

  /** `data` is the caller's again at once. Offset and length are multiples of 4. */
  write(block: Block, data: Uint8Array<ArrayBuffer>, at: number): void {
    if (this.#lost) return;
    if (block.lastUse <= this.#submitted) {
      this.#device.queue.writeBuffer(block.gpu, at, data);
      return;
    }
    if (block.lastUse === this.#open.serial && this.#open.steps.length > 0) this.flush();
    block.lastUse = this.#open.serial;
    this.#open.writes.push({ to: block.gpu, at, data: data.slice() });
  }

  /** Destroys a block when nothing that is queued uses it. */
  retire(block: Block): void {
    for (const key of this.#groupsOf.get(block.id) ?? []) this.#groups.delete(key);
    this.#groupsOf.delete(block.id);
    if (block.lastUse <= this.#submitted) block.gpu.destroy();
    else this.#open.retired.push(block.gpu);
  }

  /** The bytes of a block from `at` on, once all that was enqueued is done. Rejects with the first fault. */
  async read(block: Block, at: number, bytes: number): Promise<ArrayBuffer> {
    this.#faults = this.#faults.filter(({ told }) => !told);
    const size = sizeClass(bytes);
    const staging = this.#staging.get(size)?.pop() ?? this.#newStaging(size);
    const batch = this.#open;
    block.lastUse = batch.serial;
    batch.steps.push({ from: block.gpu, fromByte: at, to: staging, toByte: 0, bytes });
    this.#planFlush();
    try {
      await batch.done;
      this.#throwFault(batch.serial);
      await this.#mapped(staging, bytes, batch.serial);
      const data = staging.getMappedRange(0, bytes).slice(0);
      staging.unmap();
      this.#keepStaging(staging);
      return data;
    } catch (error) {
      staging.destroy();
      // A loss may reach a read before it is announced.
      if (!(error instanceof GpuError)) await Promise.race([this.#device.lost, Promise.resolve()]);
      this.#throwFault(Infinity);
      throw error;
    }
  }

  /**
   * Waits for a readback buffer. Dawn in Node turns a processor round and round while it waits; a software adapter would
   * rather compute on it. So what has been waited for before (a step of as many dispatches) is slept through for the most
   * part. Only the time of the wait depends on it.
   */
  async #mapped(staging: GPUBuffer, bytes: number, serial: number): Promise<void> {
    const dispatches = this.#counts.dispatches - this.#countedAt.dispatches;
    const first = serial > this.#countedAt.serial;
    if (first) this.#countedAt = { serial, dispatches: this.#counts.dispatches };
    const start = performance.now();
    const expected = first && this.#patient ? (this.#waits.get(dispatches) ?? 0) : 0;
    if (expected > 10) await new Promise((resolve) => setTimeout(resolve, 0.75 * expected));
    await staging.mapAsync(1, 0, bytes); // GPUMapMode.READ
    if (!first || !this.#patient) return;
    if (this.#waits.size > 100) this.#waits.clear();
    this.#waits.set(dispatches, performance.now() - start);
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
    this.#open = new Batch(this.#open.serial + 1, this.#arenas.pop());
    this.pump();
  }

  /** Submits batches in their order, until one has to wait for a pipeline. */
  pump(): void {
    while (this.#waiting.length > 0 && ready(this.#waiting[0])) {
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
    this.#counts.submits++;
    this.#submitted = batch.serial;
    this.#arenas.push(batch.arena);
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

  #newStaging(size: number): GPUBuffer {
    this.created++;
    return this.#device.createBuffer({ label: 'readback', size, usage: USAGE.mapRead | USAGE.copyDst });
  }

  /** For the next read of that size; large ones are rare and go back to the system. */
  #keepStaging(staging: GPUBuffer): void {
    if (staging.size > MOST_STAGING) return staging.destroy();
    const free = this.#staging.get(staging.size);
    if (free) free.push(staging);
    else this.#staging.set(staging.size, [staging]);
  }

  #group(layout: Layout, bindings: readonly Binding[]): GPUBindGroup {
    let key = `${layout.id}`;
    for (const { block, offset, size } of bindings)
      key += size === undefined ? ` ${block.id}` : ` ${block.id}+${offset}:${size}`;
    const known = this.#groups.get(key);
    if (known) return known;
    if (this.#groups.size >= MOST_GROUPS) {
      this.#groups.clear();
      this.#groupsOf.clear();
    }
    const group = this.#device.createBindGroup({
      layout: layout.gpu,
      entries: [
        { binding: 0, resource: { buffer: this.#uniform, size: layout.uniform } },
        ...bindings.map(({ block, offset = 0, size }, i) => ({
          binding: i + 1,
          resource: { buffer: block.gpu, offset, ...(size === undefined ? {} : { size }) },
        })),
      ],
    });
    this.#counts.bindGroups++;
    this.#groups.set(key, group);
    for (const { block } of bindings) {
      const keys = this.#groupsOf.get(block.id);
      if (keys) keys.push(key);
      else this.#groupsOf.set(block.id, [key]);
    }
    return group;
  }
}

const ready = (batch: Batch): boolean =>
  batch.steps.every((step) => !('pipeline' in step) || step.pipeline.compiled || step.pipeline.failure);

function encode(device: GPUDevice, steps: readonly (Dispatch | Copy)[]): GPUCommandBuffer {
  const encoder = device.createCommandEncoder();
  let pass: GPUComputePassEncoder | undefined;
  let current: Pipeline | undefined;
  for (const step of steps) {
    if ('pipeline' in step) {
      if (!pass) {
        pass = encoder.beginComputePass();
        current = undefined;
      }
      if (step.pipeline !== current) pass.setPipeline((current = step.pipeline).compiled!);
      pass.setBindGroup(0, step.group, [step.paramsAt]);
      pass.dispatchWorkgroups(...step.workgroups);
    } else {
      pass?.end();
      pass = undefined;
      encoder.copyBufferToBuffer(step.from, step.fromByte, step.to, step.toByte, step.bytes);
    }
  }
  pass?.end();
  return encoder.finish();
}

/** The place of the step that fails when it is encoded alone. */
async function culprit(
  device: GPUDevice,
  steps: readonly (Dispatch | Copy)[],
): Promise<Dispatch | undefined> {
  for (const step of steps) {
    device.pushErrorScope('validation');
    encode(device, [step]);
    if (await device.popErrorScope()) return 'place' in step ? step : undefined;
  }
  return undefined;
}
