/**
 * Device memory in size classes, four to each doubling. A freed buffer waits in its class for the next tensor of that
 * size: fresh memory costs more than most ops. A buffer is never cut into several tensors, since WebGPU refuses a
 * dispatch that reads and writes one buffer.
 */
import { BaxError, bytesOf } from '@bax/core';
import type { BufferRef, MemoryReport, Storage, TypedArray } from '@bax/core';

export interface GpuTensorBuffer extends BufferRef {
  /** Undefined once freed. */
  block: Block | undefined;
  /** What the host wrote and no kernel has changed since, of i32: indices are checked and sorted here. */
  known: TypedArray | undefined;
  /** A step that was warmed up left it behind, without contents: its block is gone. */
  hollow: boolean;
}

/** Memory on the device. */
export interface Block {
  readonly id: number;
  readonly gpu: GPUBuffer;
  readonly bytes: number;
  /** The batch that uses it last: see queue.ts. */
  lastUse: number;
  /** There was no memory for it: it must not be used again. */
  broken: boolean;
  /** A kernel was to write it, and did not: see `DeviceMemory.dry`. */
  hollow: boolean;
  /** How often it was given back. */
  given: number;
  /** Who took it first: it goes back there as long as that is open. */
  owner: Owner | undefined;
}

/** Keeps for itself what it took: a recording. */
export interface Owner {
  readonly closed: boolean;
  /** Bytes of blocks that it keeps for its next run. */
  readonly waiting: number;
  close(): Block[];
  take(bytes: number): Block | undefined;
  give(block: Block): void;
}

/** GPUBufferUsage: the numbers, since Node has no such global. */
export const USAGE = {
  mapRead: 0x1,
  copySrc: 0x4,
  copyDst: 0x8,
  uniform: 0x40,
  storage: 0x80,
  queryResolve: 0x200,
} as const;

const STORAGE = USAGE.storage | USAGE.copySrc | USAGE.copyDst;

/** The smallest class that holds `bytes`: a power of two, or that times 1¼, 1½ or 1¾; from 256 bytes on. */
export function sizeClass(bytes: number): number {
  if (bytes <= 256) return 256;
  const power = 2 ** Math.floor(Math.log2(bytes - 1));
  const step = power / 4;
  return Math.ceil(Math.ceil(bytes / step) * step / 16) * 16; // prettier-ignore
}

export const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

export interface MemoryOptions {
  /** The most bytes that wait for reuse. */
  readonly budget: number;
  readonly maxBufferSize: number;
  /** Makes a buffer, and calls `failed` later if that did not work. */
  readonly watch: (create: () => GPUBuffer, what: string, failed: () => void) => GPUBuffer;
  /** Destroys a buffer when nothing queued uses it any more. */
  readonly retire: (block: Block) => void;
}

export class DeviceMemory {
  readonly #device: GPUDevice;
  readonly #options: MemoryOptions;
  readonly #free = new Map<number, Block[]>();
  #live = 0;
  #pooled = 0;
  #peak = 0;
  #buffers = 0;
  #nextId = 1;
  /** Buffers that were ever made on the device. */
  created = 0;
  readonly #owners = new Set<Owner>();
  #dryMade: GpuTensorBuffer[] | undefined;
  /** Takes what is taken, while a step is recorded. */
  owner: Owner | undefined;

  constructor(device: GPUDevice, options: MemoryOptions) {
    this.#device = device;
    this.#options = options;
  }

  alloc(length: number, type: Storage): GpuTensorBuffer {
    if (type === 'f64')
      throw new BaxError(
        'webgpu: a GPU computes in f32 and i32, there is no f64; use the cpu or wasm backend',
      );
    const [exact, most] = [length * bytesOf(type), Math.floor(this.#options.maxBufferSize / 16) * 16];
    const bytes = exact <= most ? Math.min(sizeClass(exact), most) : exact;
    const block = this.take(bytes, `${length} ${type}`);
    this.#live += bytes;
    this.#peak = Math.max(this.#peak, this.#live);
    this.#buffers++;
    const buffer = { length, type, block, known: undefined, hollow: false };
    this.#dryMade?.push(buffer);
    return buffer;
  }

  /** Runs `f`, of whose kernels none runs: buffers that it made, left behind, and that one was to fill have no contents. */
  dry(f: () => void): void {
    const made: GpuTensorBuffer[] = (this.#dryMade = []);
    try {
      f();
    } finally {
      this.#dryMade = undefined;
      for (const buffer of made) {
        if (!buffer.block?.hollow) continue;
        this.free(buffer);
        buffer.hollow = true;
      }
    }
  }

  free(buffer: GpuTensorBuffer): void {
    if (buffer.hollow) return;
    const block = blockOf(buffer);
    buffer.block = undefined;
    buffer.known = undefined;
    this.#live -= block.bytes;
    this.#buffers--;
    this.give(block);
  }

  /** A block of exactly a size class's bytes that no tensor owns. `what` is for the message if there is none. */
  take(bytes: number, what: string): Block {
    const block = this.owner?.take(bytes) ?? this.#take(bytes, what);
    block.owner = this.owner;
    block.hollow = false;
    return block;
  }

  #take(bytes: number, what: string): Block {
    const waiting = this.#free.get(bytes);
    if (waiting && waiting.length > 0) {
      this.#pooled -= bytes;
      return waiting.pop()!; // the oldest: see `give`
    }
    const { maxBufferSize, watch } = this.#options;
    if (bytes > maxBufferSize)
      throw new BaxError(
        `webgpu: ${what} are ${mebibytes(bytes)}, and this adapter's largest buffer is ${mebibytes(maxBufferSize)}; take a smaller model or batch, or the wasm backend`,
      );
    this.created++;
    const create = (): GPUBuffer => this.#device.createBuffer({ size: bytes, usage: STORAGE });
    const gpu = watch(create, what, () => this.#discard(block));
    const block: Block = {
      id: this.#nextId++,
      gpu,
      bytes,
      lastUse: 0,
      broken: false,
      hollow: false,
      given: 0,
      owner: undefined,
    };
    return block;
  }

  #discard(block: Block): void {
    block.broken = true;
    const waiting = this.#free.get(block.bytes);
    const at = waiting?.indexOf(block) ?? -1;
    if (at < 0) return;
    waiting!.splice(at, 1);
    this.#pooled -= block.bytes;
    this.#options.retire(block);
  }

  give(block: Block): void {
    block.given++;
    if (block.owner && !block.owner.closed && !block.broken) return block.owner.give(block);
    if (block.broken) return this.#options.retire(block);
    if (this.#pooled + block.bytes > this.#options.budget) this.trim(this.#options.budget / 2);
    let waiting = this.#free.get(block.bytes);
    if (!waiting) this.#free.set(block.bytes, (waiting = []));
    // By age, so that which block a tensor gets depends on which are free and not on the order in which they were freed:
    // a training step that is like the last one has the last one's blocks, and its bind groups.
    let at = waiting.length;
    while (at > 0 && waiting[at - 1].id < block.id) at--;
    waiting.splice(at, 0, block);
    this.#pooled += block.bytes;
  }

  /** Gives waiting blocks back to the system, the largest first, until no more than `bytes` wait. */
  trim(bytes: number): void {
    for (const size of [...this.#free.keys()].sort((a, b) => b - a)) {
      const waiting = this.#free.get(size)!;
      while (this.#pooled > bytes && waiting.length > 0) {
        this.#options.retire(waiting.shift()!); // the youngest
        this.#pooled -= size;
      }
      if (waiting.length === 0) this.#free.delete(size);
    }
  }

  /** A recording keeps the blocks that its step gave back. */
  lend(owner: Owner): void {
    this.#owners.add(owner);
  }
  takeBack(owner: Owner): void {
    this.#owners.delete(owner);
    for (const block of owner.close()) this.give(block);
  }

  /** What recordings keep for themselves counts as pooled. */
  report(): MemoryReport {
    let pooled = this.#pooled;
    for (const { waiting } of this.#owners) pooled += waiting;
    return { live: this.#live, pooled, peak: this.#peak, buffers: this.#buffers };
  }
}

/** The memory behind a buffer. One that was freed, or that another backend made, is a mistake in bax itself. */
export function blockOf(buffer: BufferRef): Block {
  const { block, hollow } = buffer as GpuTensorBuffer;
  if (hollow)
    throw new BaxError(
      'webgpu: this tensor was made while a step was warmed up, which computes nothing, so it has no values; make it anew (after a backward(), set grad to undefined)',
    );
  if (block === undefined)
    throw new Error(`webgpu: a buffer of ${buffer.length} ${buffer.type} was used after it was freed`);
  return block;
}
