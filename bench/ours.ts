/** Our own backends, in the order of the table's rows. */
import type { Backend } from '@bax/core';
import { cpu } from '@bax/cpu';
import { wasm, type WasmBackend } from '@bax/wasm';
import { webgpu, type WebGpuBackend } from '@bax/webgpu';
import { THREADS, threadsInWords } from './machine.ts';

/** What an engine opens; `close` ends its threads. */
export type OpenBackend = Backend & Partial<Pick<WasmBackend, 'close'>>;

export interface Engine<B extends OpenBackend = OpenBackend> {
  readonly name: string;
  /** A backend of its own each time, to be closed. */
  open(): Promise<B>;
}

const wasmEngine = (threads: number): Engine<WasmBackend> => ({
  name: `bax wasm, ${threadsInWords(threads)}`,
  open: () => wasm({ threads }),
});

export const onCpu: Engine = { name: 'bax cpu', open: async () => cpu() };
export const oneThread: Engine<WasmBackend> = wasmEngine(1);
/** Where there is one processor, one thread is all. */
export const allThreads: Engine<WasmBackend> = THREADS === 1 ? oneThread : wasmEngine(THREADS);
export const withoutFma: Engine<WasmBackend> = {
  name: `${oneThread.name}, no FMA`,
  open: () => wasm({ threads: 1, fma: false }),
};

/** WebGPU on whatever adapter there is; none, where there is none. */
export const gpuEngines: readonly Engine<WebGpuBackend>[] = await webgpu({ software: true }).then(
  (backend) => {
    backend.close();
    return [
      { name: `bax webgpu (${backend.info.adapter.split(':')[0]})`, open: () => webgpu({ software: true }) },
    ];
  },
  () => [],
);

export const wasmEngines: readonly Engine<WasmBackend>[] = [...new Set([oneThread, allThreads])];
export const engines: readonly Engine[] = [onCpu, ...wasmEngines, ...gpuEngines];
/** One of each kind: how many threads there are makes no difference to what is in memory. */
export const kinds: readonly Engine[] = [onCpu, oneThread];

/** Which of ours a row is compared with: plain JavaScript with plain TypeScript, all else with WebAssembly. */
export const comparedWith = (who: string): readonly string[] => {
  if (who === 'tfjs cpu' || who.includes('JS f64')) return [onCpu.name];
  if (who.endsWith('webgpu')) return gpuEngines.map(({ name }) => name);
  if (who.includes('f32×4 ·, +')) return [withoutFma.name, oneThread.name];
  return wasmEngines.map(({ name }) => name);
};
