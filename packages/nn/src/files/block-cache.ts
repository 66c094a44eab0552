/** Blocks of bytes by name: those used last, up to `cap` bytes of them. */
export class BlockCache {
  readonly cap: number;
  /** The one used longest ago first. */
  readonly #blocks = new Map<string, Uint8Array>();
  #bytes = 0;

  constructor(cap: number) {
    this.cap = cap;
  }

  /** Bytes held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The block itself, not a copy: it is not to be changed. */
  get(name: string): Uint8Array | undefined {
    const block = this.#blocks.get(name);
    if (block) {
      this.#blocks.delete(name);
      this.#blocks.set(name, block);
    }
    return block;
  }

  /** Holds `block`, and lets go of others for it; one that is larger than the cap is not held. */
  set(name: string, block: Uint8Array): void {
    this.#drop(name);
    if (block.byteLength > this.cap) return;
    for (const oldest of this.#blocks.keys()) {
      if (this.#bytes + block.byteLength <= this.cap) break;
      this.#drop(oldest);
    }
    this.#blocks.set(name, block);
    this.#bytes += block.byteLength;
  }

  #drop(name: string): void {
    this.#bytes -= this.#blocks.get(name)?.byteLength ?? 0;
    this.#blocks.delete(name);
  }
}
