import type { Backend, BufferRef } from './backend.ts';

/** A buffer and how many tensors see it. `version` counts in-place changes. */
export interface Memory {
  readonly backend: Backend;
  readonly buffer: BufferRef;
  /** What this is a part of, with versions and holders of its own: see `moveTogether`. */
  readonly parent: Memory | undefined;
  holders: number;
  version: number;
}
/** Counts the changes of a memory, those of what it is a part of among them. */
export const versionOf = ({ version, parent }: Memory): number => version + (parent?.version ?? 0);
/** All of what a memory may be a part of. */
export const wholeOf = (memory: Memory): Memory => memory.parent ?? memory;

/** One tensor's claim on a memory. It outlives the tensor object, so that a collected tensor gives its claim back. */
export interface Hold {
  readonly memory: Memory;
  /** Why the tensor can no longer be used: the end of the sentence "this tensor was freed …". */
  freed?: string;
  /** Where it was allocated; in debug mode only. */
  origin?: string | undefined;
}

let debugging = false;
/** In debug mode each tensor remembers where it was made, and one that is left to the garbage collector is reported. */
export function debugMemory(on: boolean): void {
  debugging = on;
}

/** The net under scopes and `grad`, never the plan: a tensor that nobody freed is freed when it is collected. */
const collected = new FinalizationRegistry<Hold>((hold) => {
  if (hold.freed === undefined && hold.origin)
    console.warn(`bax: a tensor was left to the garbage collector; it was made ${hold.origin}`);
  release(hold, 'by the garbage collector');
});

export const newMemory = (backend: Backend, buffer: BufferRef): Memory => ({
  backend,
  buffer,
  parent: undefined,
  holders: 0,
  version: 0,
});
/** A part of another memory. */
export function partOf(parent: Memory): Memory {
  parent.holders++;
  return { ...newMemory(parent.backend, parent.buffer), parent };
}

export function claim(memory: Memory, owner: object): Hold {
  memory.holders++;
  const hold: Hold = { memory, origin: debugging ? callerOutsideCore() : undefined };
  collected.register(owner, hold, hold);
  return hold;
}

export function release(hold: Hold, reason: string): void {
  if (hold.freed !== undefined) return;
  hold.freed = reason;
  collected.unregister(hold);
  drop(hold.memory);
}
function drop(memory: Memory): void {
  if (--memory.holders > 0) return;
  if (memory.parent) drop(memory.parent);
  else memory.backend.free(memory.buffer);
}

function callerOutsideCore(): string | undefined {
  const lines = new Error().stack?.split('\n').slice(1) ?? [];
  // This folder, as the trace names it: import.meta would not survive a bundle in the CommonJS format.
  const here = (lines[0] ?? '').replace(/^.*?[(@]/, '').replace(/[^/]*$/, '');
  return (lines.find((line) => !here || !line.includes(here)) ?? lines.at(-1))?.trim();
}
