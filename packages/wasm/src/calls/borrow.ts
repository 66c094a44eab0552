/** Memory that a call needs for a while and gives back however it ends. */
import { isContiguous, rowMajor, type Shape, sizeOf, type Storage, type View } from '@bax/core';
import type { Machine } from '../machine.ts';
import { sizeClass, type WasmBuffer } from '../memory.ts';
import { copyInto } from './map.ts';

/** Calls `f` with a fresh row-major tensor; its contents are undefined. */
export function withFresh<T>(machine: Machine, shape: Shape, type: Storage, f: (view: View) => T): T {
  const buffer = machine.memory.alloc(sizeOf(shape), type);
  try {
    return f({ buffer, shape, strides: rowMajor(shape), offset: 0 });
  } finally {
    machine.memory.free(buffer);
  }
}

/** Calls `f` with the address of so many bytes. `what` is for the message if there are none. */
export function withBlock<T>(machine: Machine, bytes: number, what: string, f: (address: number) => T): T {
  const block = sizeClass(bytes);
  const address = machine.memory.take(block, what);
  try {
    return f(address);
  } finally {
    machine.memory.give(address, block);
  }
}

/** Calls `f` with the views; those that do not fit as they lie, by default side by side, are copied first. */
export function withFitting<T>(
  machine: Machine,
  views: readonly View[],
  f: (...views: View[]) => T,
  fits: (view: View) => boolean = isContiguous,
): T {
  const copies: View[] = [];
  try {
    const held = views.map((view) => {
      if (fits(view)) return view;
      const copy = copyInto(machine, view, view.buffer.type);
      copies.push(copy);
      return copy;
    });
    return f(...held);
  } finally {
    for (const { buffer } of copies) machine.memory.free(buffer as WasmBuffer);
  }
}
