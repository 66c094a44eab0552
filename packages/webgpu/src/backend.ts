/** The calls of core's `Backend`, as a GPU does them. */
import type { Backend, BackendInfo, FusedKernel, MemoryReport, View } from '@bax/core';
import { fused } from './calls/fused.ts';
import { gather, scatterAdd } from './calls/gather.ts';
import { read, write } from './calls/host.ts';
import { map } from './calls/map.ts';
import { matmul } from './calls/matmul.ts';
import { random } from './calls/random.ts';
import { reduce } from './calls/reduce.ts';
import type { Gpu } from './gpu.ts';
import type { GpuTensorBuffer } from './memory.ts';

export function backend(gpu: Gpu, info: BackendInfo): Backend {
  /** What the host knows of their contents is about to be wrong, and will be so again when a recording is replayed. */
  const forget = (views: readonly View[]): void => {
    for (const { buffer } of views) {
      (buffer as GpuTensorBuffer).known = undefined;
      gpu.queue.recording?.changes(buffer as GpuTensorBuffer);
    }
  };
  return {
    name: 'webgpu',
    info,
    alloc: (length, type) => gpu.memory.alloc(length, type),
    free: (buffer) => gpu.memory.free(buffer as GpuTensorBuffer),
    write: (buffer, data, at = 0) => write(gpu, buffer as GpuTensorBuffer, data, at),
    read: async (buffer, at = 0, length = buffer.length - at) =>
      read(gpu, buffer as GpuTensorBuffer, at, length),
    peek: (buffer) => (buffer as GpuTensorBuffer).known?.slice(),
    label: (op, path) => gpu.label(op, path),
    map(fn, inputs, outputs, scalars) {
      forget(outputs);
      map(gpu, fn, inputs, outputs, scalars);
    },
    reduce(op, x, out) {
      forget([out]);
      reduce(gpu, op, x, out);
    },
    matmul(a, b, out, options) {
      forget([out]);
      matmul(gpu, a, b, out, options);
    },
    gather(table, index, out) {
      forget([out]);
      gather(gpu, table, index, out);
    },
    scatterAdd(index, rows, table) {
      forget([table]);
      scatterAdd(gpu, index, rows, table);
    },
    random(key, out) {
      forget([out]);
      random(gpu, key, out);
    },
    fused: Object.fromEntries(
      Object.entries(fused(gpu)).map(([name, kernel]): [string, FusedKernel] => [
        name,
        (inputs, outputs, attrs) => {
          forget(outputs);
          return kernel(inputs, outputs, attrs);
        },
      ]),
    ),
    memory: (): MemoryReport => gpu.memory.report(),
    record(calls) {
      const recording = gpu.record(calls);
      return { run: (refresh) => gpu.replay(recording, refresh), dispose: () => gpu.forget(recording) };
    },
  };
}
