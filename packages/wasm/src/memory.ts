/**
 * One linear memory, grown as needed and never beyond the 4 GiB that 32-bit addresses reach. Blocks come in size
 * classes, four to each doubling, so that what is freed fits what is asked for next; a freed block waits in its class.
 * When memory would have to grow, neighbouring free blocks are joined and tried first.
 */
import { BaxError, bytesOf } from '@bax/core';
import type { BufferRef, HostArrays, MemoryReport, Storage, TypedArray } from '@bax/core';
import { MAX_PAGES, PAGE } from './assembler/index.ts';

export interface WasmBuffer extends BufferRef {
  /** In bytes; undefined once freed. */
  address: number | undefined;
  /** The bytes of its block. */
  readonly block: number;
  /** Packed copies of matrices in it, dropped when it is written or freed. See calls/matmul.ts. */
  packs: Pack[] | undefined;
}
/** A matrix of a buffer in the order in which a kernel reads it; `address` is 0 until it is worth keeping. */
export interface Pack {
  readonly key: string;
  address: number;
  block: number;
}

const ALIGN = 64;
/** Kernels may read so many bytes beyond an element's vector, so the memory's end is not used. */
const MARGIN = 256;
const ARRAYS = {
  f32: Float32Array,
  f64: Float64Array,
  i32: Int32Array,
  u32: Uint32Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  u8: Uint8Array,
} as const;

/** The smallest class that holds `bytes`: a power of two, or that times 1¼, 1½ or 1¾; from 256 bytes on. */
export function sizeClass(bytes: number): number {
  if (bytes <= 256) return Math.max(ALIGN, Math.ceil(bytes / ALIGN) * ALIGN);
  const power = 2 ** Math.floor(Math.log2(bytes - 1));
  const step = power / 4;
  return Math.ceil(bytes / step) * step;
}

const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

export class LinearMemory {
  readonly wasm: WebAssembly.Memory;
  readonly #maximum: number;
  readonly #free = new Map<number, number[]>();
  /** Joined free blocks: [address, bytes], by address. */
  #gaps: [number, number][] = [];
  #top: number;
  #live = 0;
  #pooled = 0;
  #packed = 0;
  #peak = 0;
  #buffers = 0;
  readonly #withPacks = new Set<WasmBuffer>();
  /** The buffer whose packed copy a product is reading: it stays. */
  reading: WasmBuffer | undefined;
  #buffer: ArrayBufferLike | undefined;
  #f32!: Float32Array;
  #i32!: Int32Array;
  #f64!: Float64Array;

  /** Bytes below `reserved` are not given out; `maximum` is the memory's own, in pages. */
  constructor(wasm: WebAssembly.Memory, reserved: number, maximum: number = MAX_PAGES) {
    this.wasm = wasm;
    this.#maximum = maximum;
    this.#top = Math.ceil(reserved / ALIGN) * ALIGN;
  }

  /** The whole memory as f32; the view may be of no use after the next `alloc`. */
  get f32(): Float32Array {
    this.#refresh();
    return this.#f32;
  }
  get i32(): Int32Array {
    this.#refresh();
    return this.#i32;
  }
  get f64(): Float64Array {
    this.#refresh();
    return this.#f64;
  }
  /** Growing detaches the views of memory that is not shared, and leaves those of shared memory too short. */
  #refresh(): void {
    const { buffer } = this.wasm;
    if (buffer === this.#buffer) return;
    this.#buffer = buffer;
    this.#f32 = new Float32Array(buffer);
    this.#i32 = new Int32Array(buffer);
    this.#f64 = new Float64Array(buffer);
  }

  alloc(length: number, type: Storage): WasmBuffer {
    const block = sizeClass(length * bytesOf(type));
    const address = this.take(block, `${length} ${type}`);
    this.#live += block;
    this.#peak = Math.max(this.#peak, this.#live);
    this.#buffers++;
    return { length, type, address, block, packs: undefined };
  }

  free(buffer: WasmBuffer): void {
    const address = addressOf(buffer);
    this.dropPacks(buffer);
    buffer.address = undefined;
    this.#live -= buffer.block;
    this.#buffers--;
    this.give(address, buffer.block);
  }

  /** Lets a block hold a packed copy of the buffer, until the buffer is written or freed or memory runs short. */
  keepPack(buffer: WasmBuffer, pack: Pack, address: number, block: number): void {
    pack.address = address;
    pack.block = block;
    this.#packed += block;
    this.#withPacks.add(buffer);
  }
  dropPacks(buffer: WasmBuffer): void {
    for (const { address, block } of buffer.packs ?? []) {
      if (!address) continue;
      this.give(address, block);
      this.#packed -= block;
    }
    buffer.packs = undefined;
    this.#withPacks.delete(buffer);
  }
  /** Forgets the oldest of a buffer's packed copies. */
  dropOldestPack(buffer: WasmBuffer): void {
    const oldest = buffer.packs!.shift()!;
    if (!oldest.address) return;
    this.give(oldest.address, oldest.block);
    this.#packed -= oldest.block;
  }

  /** A block of exactly a size class's bytes that no buffer owns. `what` is for the message if there is none. */
  take(block: number, what: string): number {
    const found = this.#find(block);
    if (found !== undefined) return found;
    try {
      this.#grow(this.#top + block + MARGIN - this.wasm.buffer.byteLength, what);
    } catch {
      // Packed copies can be made again: they go before anything fails.
      for (const buffer of this.#withPacks) if (buffer !== this.reading) this.dropPacks(buffer);
      const freed = this.#find(block);
      if (freed !== undefined) return freed;
      this.#grow(this.#top + block + MARGIN - this.wasm.buffer.byteLength, what);
    }
    return this.#extend(block);
  }
  /** A block in memory as it is. */
  #find(block: number): number | undefined {
    const waiting = this.#free.get(block);
    if (waiting && waiting.length > 0) {
      this.#pooled -= block;
      return waiting.pop()!;
    }
    const fits = (): boolean => this.#top + block + MARGIN <= this.wasm.buffer.byteLength;
    if (fits()) return this.#extend(block);
    this.#join();
    if (fits()) return this.#extend(block);
    const gap = this.#gaps.findIndex(([, bytes]) => bytes >= block);
    if (gap < 0) return undefined;
    const [address, bytes] = this.#gaps[gap];
    if (bytes === block) this.#gaps.splice(gap, 1);
    else this.#gaps[gap] = [address + block, bytes - block];
    this.#pooled -= block;
    return address;
  }
  give(address: number, block: number): void {
    const waiting = this.#free.get(block);
    if (waiting) waiting.push(address);
    else this.#free.set(block, [address]);
    this.#pooled += block;
  }

  /** The elements of a buffer; of no use after the next `alloc`. */
  arrayOf<S extends Storage>(buffer: BufferRef & { readonly type: S }): HostArrays[S] {
    const address = addressOf(buffer as WasmBuffer & { type: S });
    return new ARRAYS[buffer.type](this.wasm.buffer, address, buffer.length) as TypedArray as HostArrays[S];
  }

  /** Packed copies count as pooled: they could be made again. */
  report(): MemoryReport {
    return {
      live: this.#live,
      pooled: this.#pooled + this.#packed,
      peak: this.#peak,
      buffers: this.#buffers,
    };
  }

  #extend(block: number): number {
    const address = this.#top;
    this.#top += block;
    return address;
  }

  /** Joins all free blocks that are neighbours. Those at the top become fresh memory again. */
  #join(): void {
    const all = [...this.#gaps];
    for (const [block, addresses] of this.#free) for (const address of addresses) all.push([address, block]);
    this.#free.clear();
    all.sort(([a], [b]) => a - b);
    this.#gaps = [];
    for (const [address, bytes] of all) {
      const last = this.#gaps.at(-1);
      if (last && last[0] + last[1] === address) last[1] += bytes;
      else this.#gaps.push([address, bytes]);
    }
    const last = this.#gaps.at(-1);
    if (last && last[0] + last[1] === this.#top) {
      this.#gaps.pop();
      this.#top = last[0];
      this.#pooled -= last[1];
    }
  }

  #grow(bytes: number, what: string): void {
    if (bytes <= 0) return;
    const now = this.wasm.buffer.byteLength / PAGE;
    const needed = Math.ceil(bytes / PAGE);
    const fail = (reason: string): never => {
      throw new BaxError(
        `wasm: no memory for ${what}: ${reason}; ${megabytes(this.#live)} are in use. Free tensors, take a smaller batch, or a smaller model`,
      );
    };
    if (now + needed > this.#maximum)
      fail(
        this.#maximum === MAX_PAGES
          ? 'WebAssembly addresses 4096 MiB'
          : `this engine lets it grow to ${megabytes(this.#maximum * PAGE)}`,
      );
    // A quarter more than is there, so that growing stays rare; exactly what is needed where that is too much.
    const generous = Math.min(Math.max(needed, Math.ceil(now / 4)), this.#maximum - now);
    for (const pages of new Set([generous, needed])) {
      try {
        this.wasm.grow(pages);
        return;
      } catch {
        continue;
      }
    }
    fail(`the system gives no ${megabytes(needed * PAGE)} more`);
  }
}

/** Where a buffer begins. A buffer that was freed, or that another backend made, is a mistake in bax itself. */
export function addressOf(buffer: BufferRef): number {
  const { address } = buffer as WasmBuffer;
  if (address === undefined)
    throw new Error(`wasm: a buffer of ${buffer.length} ${buffer.type} was used after it was freed`);
  return address;
}
