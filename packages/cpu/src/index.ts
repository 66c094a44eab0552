/** The CPU backend: the executable specification of `Backend` and the oracle of the others, in f32, f64 and i32. */
import type { Backend } from '@bax/core';
import { gather, scatterAdd } from './gather.ts';
import { map } from './map.ts';
import { matmul } from './matmul.ts';
import { Memory, arrayOf } from './memory.ts';
import { random } from './random.ts';
import { reduce } from './reduce.ts';

/** A backend that computes at once, in plain TypeScript: it needs no build, no WebAssembly and no `eval`. */
export function cpu(): Backend {
  const memory = new Memory();
  return {
    name: 'cpu',
    info: {
      adapter: 'plain TypeScript, one thread',
      features: [],
      dtypes: ['f32', 'f64', 'i32'],
      roundoff: 2 ** -24,
    },
    alloc: (length, type) => memory.alloc(length, type),
    free: (buffer) => memory.free(buffer),
    write(buffer, data, at = 0) {
      const array = arrayOf(buffer);
      if (array[Symbol.toStringTag] !== data[Symbol.toStringTag])
        throw new Error(`cpu: a ${buffer.type} buffer cannot be written from a ${data[Symbol.toStringTag]}`);
      array.set(data, at);
    },
    read: async (buffer, at = 0, length = buffer.length - at) => arrayOf(buffer).slice(at, at + length),
    peek: arrayOf,
    map,
    reduce,
    matmul,
    gather,
    scatterAdd,
    random,
    memory: () => memory.report(),
  };
}
