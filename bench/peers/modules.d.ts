/**
 * The parts of the peers that the benches call. The peers are not installed with the repository, so their own types
 * cannot be asked for; an ambient module stands before an installed one, so the check is the same with and without.
 */
declare module '@tensorflow/tfjs' {
  type Shape = readonly number[];
  class Tensor {
    readonly shape: number[];
    dataSync(): Float32Array;
    data(): Promise<Float32Array>;
    slice(begin: Shape, size: Shape): Tensor;
    dispose(): void;
    add(b: Tensor | number): Tensor;
    sub(b: Tensor | number): Tensor;
    mul(b: Tensor | number): Tensor;
    div(b: Tensor | number): Tensor;
    sqrt(): Tensor;
    tanh(): Tensor;
    neg(): Tensor;
    sum(axis?: number): Tensor;
    mean(): Tensor;
    softmax(axis?: number): Tensor;
    logSoftmax(axis?: number): Tensor;
    reshape(shape: Shape): Tensor;
    transpose(axes: Shape): Tensor;
    squeeze(axes: Shape): Tensor;
  }
  class Variable extends Tensor {
    readonly name: string;
    assign(value: Tensor): void;
  }
  type NamedTensors = Record<string, Tensor>;
  function ready(): Promise<void>;
  function enableProdMode(): void;
  function setBackend(name: string): Promise<boolean>;
  function tensor(data: Float32Array | Int32Array, shape: Shape, dtype?: 'float32' | 'int32'): Tensor;
  function variable(initial: Tensor, trainable: boolean, name: string): Variable;
  function tidy<T>(f: () => T): T;
  function matMul(a: Tensor, b: Tensor, transposeA?: boolean, transposeB?: boolean): Tensor;
  function gather(x: Tensor, indices: Tensor): Tensor;
  function oneHot(indices: Tensor, depth: number): Tensor;
  function cast(x: Tensor, dtype: 'float32'): Tensor;
  function moments(x: Tensor, axis: number, keepDims: boolean): { mean: Tensor; variance: Tensor };
  function split(x: Tensor, parts: number, axis: number): Tensor[];
  function variableGrads(f: () => Tensor, variables: Variable[]): { value: Tensor; grads: NamedTensors };
  const train: {
    adam(
      lr: number,
      beta1: number,
      beta2: number,
      eps: number,
    ): { applyGradients(grads: NamedTensors): void };
  };
}

declare module '@tensorflow/tfjs-backend-webgpu' {}
declare module '@tensorflow/tfjs-backend-wasm' {
  function setWasmPaths(folder: string): void;
}

declare module '@jax-js/jax' {
  /** Functions consume their arguments; `ref` gives one more to consume. */
  interface Array {
    readonly ref: Array;
    readonly shape: number[];
    data(): Promise<Float32Array>;
    blockUntilReady(): Promise<Array>;
    dispose(): void;
    add(b: Array | number): Array;
    sub(b: Array | number): Array;
    mul(b: Array | number): Array;
    div(b: Array | number): Array;
    sum(axis?: number): Array;
    mean(): Array;
    neg(): Array;
    reshape(shape: readonly number[]): Array;
    transpose(axes?: readonly number[]): Array;
  }
  type Device = 'cpu' | 'wasm' | 'webgpu';
  function init(...devices: Device[]): Promise<Device[]>;
  function defaultDevice(device: Device): Device;
  function jit<A extends readonly unknown[], R>(f: (...args: A) => R): (...args: A) => R;
  function valueAndGrad<A extends readonly unknown[]>(
    f: (first: Array[], ...rest: A) => Array,
  ): (first: Array[], ...rest: A) => [Array, Array[]];
  function blockUntilReady<T>(tree: T): Promise<T>;
  const numpy: {
    readonly int32: unknown;
    readonly float32: unknown;
    array(data: Float32Array | Int32Array | number, options?: { dtype?: unknown }): Array;
    zeros(shape: readonly number[]): Array;
    readonly matmul: (a: Array, b: Array) => Array;
    split(x: Array, parts: number, axis: number): Array[];
    sqrt(x: Array): Array;
    square(x: Array): Array;
  };
  const nn: {
    gelu(x: Array, options: { approximate: boolean }): Array;
    standardize(x: Array, axis: number, options: { epsilon: number }): Array;
    logSoftmax(x: Array, axis: number): Array;
    oneHot(x: Array, classes: number): Array;
    softmax(x: Array, axis: number): Array;
  };
}

declare module 'onnxruntime-web' {
  interface Tensor {
    readonly dims: readonly number[];
    readonly data: Float32Array;
  }
  interface Options {
    executionProviders: readonly string[];
    graphOptimizationLevel: 'disabled' | 'all';
    extra: { session: Record<string, string> };
  }
  class InferenceSession {
    static create(model: Uint8Array, options: Options): Promise<InferenceSession>;
    run(feeds: Record<string, Tensor>, fetches: readonly string[]): Promise<Record<string, Tensor>>;
    release(): Promise<void>;
  }
  const env: { wasm: { numThreads: number } };
}
