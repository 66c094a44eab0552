/** The backends that the laws run over. One of each a test file, so that its memory can be counted. */
import { cpu } from '@bax/cpu';
import { wasm } from '@bax/wasm';
import type { Backend } from '@bax/core';

export interface BackendCase {
  readonly name: string;
  make(): Backend | Promise<Backend>;
}

export const backendCases: readonly BackendCase[] = [
  { name: 'cpu', make: cpu },
  { name: 'wasm', make: async () => wasm({ threads: 1 }) },
  { name: 'wasm without fused multiply-add', make: async () => wasm({ threads: 1, fma: false }) },
  { name: 'wasm with two threads', make: async () => wasm({ threads: 2 }) },
];
