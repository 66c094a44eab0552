/** What one submit does: writes, then dispatches and copies in the order of their calls. */
import type { Place } from './errors.ts';
import type { Pipeline } from './pipelines.ts';

/** Bytes of parameters of a batch. */
export const ARENA: number = 2 ** 17;

export interface Dispatch {
  readonly pipeline: Pipeline;
  readonly group: GPUBindGroup;
  readonly paramsAt: number;
  readonly workgroups: readonly [number, number, number];
  readonly place: Place;
  /** Where the host made the call; in debug mode only. */
  readonly origin: Error | undefined;
}
export interface Copy {
  readonly from: GPUBuffer;
  readonly fromByte: number;
  readonly to: GPUBuffer;
  readonly toByte: number;
  readonly bytes: number;
}
export interface Write {
  readonly to: GPUBuffer;
  readonly at: number;
  readonly data: Uint8Array<ArrayBuffer>;
}

export class Batch {
  readonly serial: number;
  /** Done before the steps. */
  writes: Write[] = [];
  steps: (Dispatch | Copy)[] = [];
  /** Destroyed when it was submitted. */
  readonly retired: GPUBuffer[] = [];
  readonly arena: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
  used = 0;
  /** The arena is a recording's, which needs it again. */
  lent = false;
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
  /** The same once more, with the parameters as they are now even if it has to wait. */
  again(serial: number, waits: boolean): Batch {
    const batch = new Batch(serial, waits ? this.arena.slice() : this.arena);
    batch.writes = this.writes;
    batch.steps = this.steps;
    batch.used = this.used;
    batch.lent = !waits;
    return batch;
  }
  get empty(): boolean {
    return this.steps.length === 0 && this.writes.length === 0 && this.retired.length === 0;
  }
  /** Whether all its pipelines are compiled, or never will be. */
  get ready(): boolean {
    return this.steps.every(
      (step) => !('pipeline' in step) || step.pipeline.compiled || step.pipeline.failure,
    );
  }
}

/** One pass for the dispatches between two copies. */
export function encode(device: GPUDevice, steps: readonly (Dispatch | Copy)[]): GPUCommandBuffer {
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

/** The dispatch that fails when it is encoded alone. */
export async function culprit(
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
