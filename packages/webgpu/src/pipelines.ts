/** Shader modules and pipelines, each made once and compiled in the background. */
import { GpuError } from './errors.ts';
import type { Access, Kernel, Variant } from './kernel.ts';

export interface Pipeline {
  /** Undefined until it is compiled. */
  compiled: GPUComputePipeline | undefined;
  failure: GpuError | undefined;
  /** Resolves when it is compiled or has failed. */
  readonly settled: Promise<void>;
  readonly layout: Layout;
}

/** A bind group layout: 0 = the uniform with a dynamic offset, then storage buffers. */
export interface Layout {
  readonly id: number;
  readonly gpu: GPUBindGroupLayout;
  readonly pipeline: GPUPipelineLayout;
  /** Bytes of the uniform that a dispatch sees. */
  readonly uniform: number;
}

const COMPUTE = 0x4; // GPUShaderStage.COMPUTE

export class Pipelines {
  readonly #device: GPUDevice;
  readonly #modules = new Map<string, GPUShaderModule>();
  readonly #layouts = new Map<string, Layout>();
  readonly #pipelines = new Map<string, Pipeline>();
  readonly #onSettled: () => void;

  constructor(device: GPUDevice, onSettled: () => void) {
    this.#device = device;
    this.#onSettled = onSettled;
  }

  /** Pipelines that were ever made on the device. */
  get created(): number {
    return this.#pipelines.size;
  }
  /** Resolves when all are compiled. @throws the first failure. */
  async settled(): Promise<void> {
    const all = [...this.#pipelines.values()];
    await Promise.all(all.map(async (p) => p.settled));
    const { failure } = all.find((p) => p.failure) ?? {};
    if (failure) throw failure;
  }

  of(kernel: Kernel, { constants = {}, T = 'f32' }: Variant = {}): Pipeline {
    let key = `${kernel.file} ${T}`;
    for (const name in constants) key += ` ${constants[name]}`;
    return this.#pipelines.get(key) ?? this.#make(key, kernel, { constants, T });
  }

  #make(key: string, kernel: Kernel, { constants, T }: Required<Variant>): Pipeline {
    const { file } = kernel;
    const module = this.#module(file, T === 'f32' ? kernel.source : retyped(kernel.source, T));
    const layout = this.#layout(kernel.bindings, kernel.size);
    // prettier-ignore
    const making = this.#device.createComputePipelineAsync({
      label: file,
      layout: layout.pipeline,
      compute: { module, entryPoint: 'main', constants: constants as Record<string, number> },
    });
    const settle = async (): Promise<void> => {
      try {
        pipeline.compiled = await making;
      } catch (error) {
        pipeline.failure = await explain(file, kernel.source, module, error);
      }
      this.#onSettled();
    };
    const pipeline: Pipeline = {
      compiled: undefined,
      failure: undefined,
      layout,
      settled: Promise.resolve().then(settle),
    };
    this.#pipelines.set(key, pipeline);
    return pipeline;
  }

  #module(label: string, code: string): GPUShaderModule {
    let module = this.#modules.get(code);
    if (!module) {
      this.#device.pushErrorScope('validation'); // what is wrong with it is told with its pipeline
      this.#modules.set(code, (module = this.#device.createShaderModule({ label, code })));
      this.#device.popErrorScope().catch(() => undefined);
    }
    return module;
  }

  #layout(bindings: readonly Access[], size: number): Layout {
    const uniform = Math.max(16, size);
    const key = `${bindings.join()} ${uniform}`;
    let layout = this.#layouts.get(key);
    if (!layout) {
      const gpu = this.#device.createBindGroupLayout({
        label: key,
        entries: [
          {
            binding: 0,
            visibility: COMPUTE,
            buffer: { type: 'uniform', hasDynamicOffset: true, minBindingSize: uniform },
          },
          ...bindings.map((access, i): GPUBindGroupLayoutEntry => ({
            binding: i + 1,
            visibility: COMPUTE,
            buffer: { type: access === 'read' ? 'read-only-storage' : 'storage' },
          })),
        ],
      });
      const pipeline = this.#device.createPipelineLayout({ bindGroupLayouts: [gpu] });
      this.#layouts.set(key, (layout = { id: this.#layouts.size, gpu, pipeline, uniform }));
    }
    return layout;
  }
}

/** The kernel for another element type. */
export const retyped = (source: string, T: string): string =>
  source.replace('alias T = f32;', `alias T = ${T};`);

/** The compiler's first message, as compilers show them: the place, the line, a caret. */
async function explain(
  file: string,
  source: string,
  module: GPUShaderModule,
  error: unknown,
): Promise<GpuError> {
  const reason = error instanceof Error ? error.message : String(error);
  try {
    const { messages } = await module.getCompilationInfo();
    const first = messages.find(({ type }) => type === 'error');
    if (!first) return new GpuError('shader', `${file} was refused by this adapter: ${reason}`);
    const line = source.split('\n')[first.lineNum - 1] ?? '';
    return new GpuError(
      'shader',
      `${file}:${first.lineNum}: ${first.message}\n  ${line}\n  ${' '.repeat(Math.max(0, first.linePos - 1))}^`,
    );
  } catch {
    return new GpuError('shader', `${file} does not compile: ${reason}`);
  }
}
