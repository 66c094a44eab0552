/** Bind groups, each made once for a layout and the buffers in it, and kept while those live. */
import type { Block } from './memory.ts';
import type { Layout } from './pipelines.ts';

/** Each group costs lavapipe a mapping, of which a process has 65,530. */
const MOST = 4096;

/** Part of a block that a dispatch sees; all of it where it fits into a binding. */
export interface Binding {
  readonly block: Block;
  readonly offset?: number;
  readonly size?: number;
}

export class BindGroups {
  readonly #device: GPUDevice;
  readonly #uniform: GPUBuffer;
  readonly #groups = new Map<string, GPUBindGroup>();
  readonly #keysOf = new Map<number, string[]>();
  /** Groups that were ever made. */
  created = 0;

  constructor(device: GPUDevice, uniform: GPUBuffer) {
    this.#device = device;
    this.#uniform = uniform;
  }

  of(layout: Layout, bindings: readonly Binding[]): GPUBindGroup {
    let key = `${layout.id}`;
    for (const { block, offset, size } of bindings)
      key += size === undefined ? ` ${block.id}` : ` ${block.id}+${offset}:${size}`;
    return this.#groups.get(key) ?? this.#make(key, layout, bindings);
  }

  #make(key: string, layout: Layout, bindings: readonly Binding[]): GPUBindGroup {
    if (this.#groups.size >= MOST) {
      this.#groups.clear();
      this.#keysOf.clear();
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
    this.created++;
    this.#groups.set(key, group);
    for (const { block } of bindings) {
      const keys = this.#keysOf.get(block.id);
      if (keys) keys.push(key);
      else this.#keysOf.set(block.id, [key]);
    }
    return group;
  }

  /** The block is about to be destroyed. */
  forget(block: Block): void {
    for (const key of this.#keysOf.get(block.id) ?? []) this.#groups.delete(key);
    this.#keysOf.delete(block.id);
  }
}
