/** The backends that the laws run over. One of each a test file, so that its memory can be counted. */
import type { ArgOptions } from '@bax/check';
import { cpu } from '@bax/cpu';
import { wasm } from '@bax/wasm';
import { webgpu, type WebGpuOptions } from '@bax/webgpu';
import type { Backend } from '@bax/core';
import { afterAll, beforeAll, describe } from 'vitest';

export interface BackendCase {
  readonly name: string;
  readonly f64?: false;
  make(): Backend | Promise<Backend>;
  /** The part of a law's random instances that it sees: where most of the code is another's, fewer will do. */
  readonly share: number;
}

/** vitest.config.ts sees to it that there is one. */
export const anyAdapter: WebGpuOptions = { software: true };

const cases: readonly BackendCase[] = [
  { name: 'cpu', make: cpu, share: 1 },
  { name: 'wasm', make: async () => wasm({ threads: 1 }), share: 1 / 2 },
  {
    name: 'wasm without fused multiply-add',
    make: async () => wasm({ threads: 1, fma: false }),
    share: 1 / 4,
  },
  { name: 'wasm with two threads', make: async () => wasm({ threads: 2 }), share: 1 / 4 },
  { name: 'webgpu', f64: false, make: async () => webgpu(anyAdapter), share: 1 / 8 },
  {
    name: 'webgpu with the kernels for another kind of adapter',
    f64: false,
    make: async () => webgpu({ ...anyAdapter, pretend: { software: process.env.BAX_GPU === 'hardware' } }),
    share: 1 / 16,
  },
];
const open = new Set<Backend & { close?(): void }>();
export const backendCases: readonly BackendCase[] = cases.map((device) => ({
  ...device,
  async make() {
    const backend = await device.make();
    open.add(backend);
    return backend;
  },
}));
/** Closes what was opened: a process holds few devices at once. After each test file, by vitest.config.ts. */
export function closeBackends(): void {
  for (const backend of open) backend.close?.();
  open.clear();
}

/** Those that compute in f64, in which gradients are checked against differences. */
export const f64Cases: readonly BackendCase[] = backendCases.filter(({ f64 }) => f64 ?? true);

type There = ArgOptions & { readonly backend: Backend };
/** A backend on which laws run: to be looked at inside of tests, when it is open. */
export interface On {
  readonly backend: Backend;
  /** How tensors are made there. */
  readonly f32: There;
  readonly f64: There;
  /** Whether it computes in f64: where not, the laws that need it are the cpu's and wasm's. */
  readonly hasF64: boolean;
  /** f64, or f32 where there is none. */
  readonly widest: There;
  /** The ops that run there. */
  ops<O extends [string, unknown]>(all: readonly O[]): O[];
  /** The part of a law's random instances that it sees. */
  readonly share: number;
  /** How often a law is tried that the cpu tries so many times. */
  runs(times: number): number;
}

/** Declares the tests for each backend, which opens before them and closes after them. */
export function onEveryBackend(laws: (on: On) => void, cases: readonly BackendCase[] = backendCases): void {
  describe.each(cases)('on $name', (device) => {
    let backend: Backend;
    beforeAll(async () => void (backend = await device.make()));
    afterAll(closeBackends);
    laws({
      get backend() {
        return backend;
      },
      get f32() {
        return { dtype: 'f32', backend } as const;
      },
      get f64() {
        return { dtype: 'f64', backend } as const;
      },
      hasF64: device.f64 ?? true,
      get widest() {
        return { dtype: this.hasF64 ? 'f64' : 'f32', backend } as const;
      },
      ops(all) {
        return all.filter(([name]) => this.hasF64 || name !== 'castF64');
      },
      share: device.share,
      runs: (times) => Math.ceil(times * device.share),
    });
  });
}
