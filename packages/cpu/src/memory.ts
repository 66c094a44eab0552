import { bytesOf, hostArray } from '@bax/core';
import type { BufferRef, MemoryReport, Storage, TypedArray } from '@bax/core';

interface CpuBuffer extends BufferRef {
  data: TypedArray | undefined;
}

/** The array behind a buffer. A buffer that was freed, or that another backend made, is a mistake in bax itself. */
export function arrayOf(buffer: BufferRef): TypedArray {
  const { data } = buffer as CpuBuffer;
  if (!data) throw new Error(`cpu: a buffer of ${buffer.length} ${buffer.type} was used after it was freed`);
  return data;
}

/**
 * Allocation with reuse: fresh memory is zeroed by the system page by page and costs more than most ops, so freed
 * arrays wait in a pool for a buffer of the same type and length.
 */
export class Memory {
  private readonly pool = new Map<Storage, Map<number, TypedArray[]>>();
  private live = 0;
  private pooled = 0;
  private peak = 0;
  private buffers = 0;

  alloc(length: number, type: Storage): BufferRef {
    const bytes = length * bytesOf(type);
    let data = this.pool.get(type)?.get(length)?.pop();
    if (data) this.pooled -= bytes;
    else data = hostArray(type, length);
    this.live += bytes;
    this.peak = Math.max(this.peak, this.live);
    this.buffers++;
    const buffer: CpuBuffer = { length, type, data };
    return buffer;
  }

  free(buffer: BufferRef): void {
    const data = arrayOf(buffer);
    (buffer as CpuBuffer).data = undefined;
    this.live -= data.byteLength;
    this.buffers--;
    // A pool larger than all that was ever live at once holds lengths that no longer occur.
    if (this.pooled + data.byteLength > this.peak) this.drain();
    let ofType = this.pool.get(buffer.type);
    if (!ofType) this.pool.set(buffer.type, (ofType = new Map()));
    const free = ofType.get(buffer.length);
    if (free) free.push(data);
    else ofType.set(buffer.length, [data]);
    this.pooled += data.byteLength;
  }

  report(): MemoryReport {
    return {
      live: this.live,
      pooled: this.pooled,
      peak: this.peak,
      buffers: this.buffers,
    };
  }

  private drain(): void {
    this.pool.clear();
    this.pooled = 0;
  }
}
