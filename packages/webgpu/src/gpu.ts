/** A device and what runs on it: memory, pipelines and the queue in one, and how a view becomes a binding. */
import { BaxError, bytesOf, type View } from '@bax/core';
import { GpuError, type Place } from './errors.ts';
import { IndexChecks } from './index-checks.ts';
import type { Kernel, Variant } from './kernel.ts';
import { type Block, blockOf, DeviceMemory, mebibytes } from './memory.ts';
import { Pipelines } from './pipelines.ts';
import type { Binding } from './bind-groups.ts';
import { Queue } from './queue.ts';
import { Recording } from './recording.ts';

/** How work is split best: which kernels are taken, by the kind of adapter. */
export interface Tuning {
  /**
   * A software adapter runs a workgroup's threads one after the other: barriers and shared memory cost much there, and
   * save nothing. Rows are then summed by one thread each, and products use subgroups or none.
   */
  readonly software: boolean;
  /** Threads of a subgroup, where all have the same number; 0 where subgroups are not to be used. */
  readonly subgroup: number;
}

/** Part of a buffer that a kernel sees. */
export interface Bound extends Binding {
  /** Of the view's first element, in elements from where the binding begins. */
  readonly base: number;
}

class CallPlace implements Place {
  readonly op: string;
  readonly path: string;
  views: readonly View[] = [];
  constructor(op: string, path: string) {
    this.op = op;
    this.path = path;
  }
  get shapes(): string {
    return this.views.map(({ shape }) => `[${shape.join(', ')}]`).join(' ');
  }
}

export class Gpu {
  readonly device: GPUDevice;
  readonly memory: DeviceMemory;
  readonly queue: Queue;
  readonly pipelines: Pipelines;
  readonly indices: IndexChecks;
  readonly tuning: Tuning;
  /** The most bytes of one binding. */
  readonly maxBinding: number;
  #place = new CallPlace('', '');

  constructor(
    device: GPUDevice,
    tuning: Tuning,
    limits: { readonly budget: number; readonly maxBinding: number; readonly debug?: boolean },
  ) {
    this.device = device;
    this.tuning = tuning;
    this.maxBinding = Math.min(limits.maxBinding, device.limits.maxStorageBufferBindingSize);
    this.queue = new Queue(device, { debug: limits.debug ?? false, patient: tuning.software });
    this.pipelines = new Pipelines(device, () => this.queue.pump());
    this.memory = new DeviceMemory(device, {
      budget: limits.budget,
      maxBufferSize: device.limits.maxBufferSize,
      watch: (create, what, failed) => this.#watched(create, what, failed),
      retire: (block) => this.queue.retire(block),
    });
    this.indices = new IndexChecks(this.memory, this.queue);
  }

  /** What `apply` is about to run. */
  label(op: string, path: string): void {
    this.#place = new CallPlace(op, path);
    this.queue.place = this.#place;
  }
  /** The tensors of the call, for the message of a fault. */
  about(...views: readonly View[]): void {
    this.#place.views = views;
  }

  /** Bytes of a block once all that was enqueued is done. Rejects with the first fault. */
  async read(block: Block, at: number, bytes: number): Promise<ArrayBuffer> {
    const { recording, dry } = this.queue;
    if (recording || dry)
      throw new BaxError(
        `webgpu: a step that is ${dry ? 'warmed up' : 'recorded'} cannot read; return the tensor, and read it afterwards`,
      );
    return this.indices.read(block, at, bytes);
  }

  #watched(create: () => GPUBuffer, what: string, failed: () => void): GPUBuffer {
    const { device } = this;
    const place = this.#place;
    device.pushErrorScope('out-of-memory');
    device.pushErrorScope('validation');
    const buffer = create();
    const check = (error: GPUError | null): void => {
      if (!error) return;
      failed();
      const { live, pooled } = this.memory.report();
      this.queue.fault(
        new GpuError(
          'out-of-memory',
          `out of memory: ${what} do not fit beside ${mebibytes(live)} in use and ${mebibytes(pooled)} pooled; take a smaller batch or model`,
          place,
        ),
      );
    };
    device.popErrorScope().then(check, () => undefined);
    device.popErrorScope().then(check, () => undefined);
    return buffer;
  }

  /** All of a view's buffer, or what the view spans of a buffer that is larger than a binding may be. */
  bind(view: View): Bound {
    const block = blockOf(view.buffer);
    if (block.bytes <= this.maxBinding) return { block, base: view.offset };
    const window = this.windowOf(view);
    if (window.size > this.maxBinding)
      throw new BaxError(
        `webgpu: ${this.#place.op || 'a call'} needs ${mebibytes(window.size)} of one tensor [${view.shape.join(', ')}] at once, and this adapter binds at most ${mebibytes(this.maxBinding)}; take a smaller model or batch, or the wasm backend`,
      );
    return {
      block,
      offset: window.from,
      size: window.size,
      base: view.offset - window.from / bytesOf(view.buffer.type),
    };
  }
  /** The bytes from a view's first element to its last, from a place where a binding may begin. */
  windowOf({ buffer, shape, strides, offset }: View): { from: number; size: number } {
    let [low, high] = [offset, offset];
    shape.forEach((length, axis) => {
      const extent = (length - 1) * strides[axis];
      if (extent < 0) low += extent;
      else high += extent;
    });
    const bytes = bytesOf(buffer.type);
    const align = this.device.limits.minStorageBufferOffsetAlignment;
    const from = Math.floor((low * bytes) / align) * align;
    const to = Math.min(Math.ceil(((high + 1) * bytes) / 16) * 16, blockOf(buffer).bytes);
    return { from, size: to - from };
  }
  fits(view: View): boolean {
    return blockOf(view.buffer).bytes <= this.maxBinding || this.windowOf(view).size <= this.maxBinding;
  }

  /** Enqueues a kernel on so many workgroups. `live`: its parameters are to be read again when a recorded step is made again. */
  run<P extends object, O extends string>(
    kernel: Kernel<P, O>,
    variant: Variant<O>,
    bindings: readonly Binding[],
    params: P,
    workgroups: number | readonly [number, number, number],
    live = false,
  ): void {
    const grid = typeof workgroups === 'number' ? this.grid(workgroups) : workgroups;
    this.queue.dispatch(kernel, this.pipelines.of(kernel as Kernel, variant), bindings, params, grid, live);
  }

  /** Runs `calls` and keeps what they enqueue. */
  record(calls: () => void): Recording {
    void this.indices.note; // from before: what a recording makes is its own
    this.queue.flush();
    const recording = new Recording();
    this.queue.recording = this.memory.owner = recording;
    try {
      calls();
      this.queue.flush();
      if (recording.empty) throw new BaxError('record: the step asked nothing of this backend, webgpu');
      this.memory.lend(recording);
      return recording;
    } catch (error) {
      this.queue.flush();
      this.forget(recording);
      throw error;
    } finally {
      this.queue.recording = this.memory.owner = undefined;
    }
  }
  replay(recording: Recording, refresh: () => void): void {
    recording.check();
    refresh();
    this.indices.again(recording.indexCalls);
    this.queue.replay(recording);
  }
  forget(recording: Recording): void {
    this.memory.takeBack(recording);
  }

  /** So many workgroups in two dimensions: one may have 65,535 at most. A kernel's own is group.y * groups.x + group.x. */
  grid(count: number): readonly [number, number, number] {
    const most = this.device.limits.maxComputeWorkgroupsPerDimension;
    if (count <= most) return [count, 1, 1];
    const y = Math.ceil(count / most);
    return [Math.ceil(count / y), y, 1];
  }
}

/** A block that no tensor owns, as a binding. */
export const whole = (block: Block): Bound => ({ block, base: 0 });
