/** Tensor's methods: each is the function of the same name with the tensor as its first argument. */
import type { Backend } from './backend.ts';
import type { DType } from './dtype.ts';
import { backward, type GradOptions } from './grad.ts';
import { fromHost } from './create.ts';
import * as ops from './ops/index.ts';
import type { AxisArg, ReduceOptions } from './ops/reduce.ts';
import type { Shape } from './shape.ts';
import { Tensor } from './tensor.ts';

type Arg = Tensor | number;

export interface TensorMethods {
  add(b: Arg): Tensor;
  sub(b: Arg): Tensor;
  mul(b: Arg): Tensor;
  div(b: Arg): Tensor;
  pow(b: Arg): Tensor;
  neg(): Tensor;
  abs(): Tensor;
  exp(): Tensor;
  log(): Tensor;
  sqrt(): Tensor;
  tanh(): Tensor;
  sigmoid(): Tensor;
  relu(): Tensor;
  gelu(): Tensor;
  silu(): Tensor;
  cast(dtype: DType): Tensor;
  sum(axis?: AxisArg, options?: ReduceOptions): Tensor;
  mean(axis?: AxisArg, options?: ReduceOptions): Tensor;
  max(axis?: AxisArg, options?: ReduceOptions): Tensor;
  min(axis?: AxisArg, options?: ReduceOptions): Tensor;
  argmax(axis?: number, options?: ReduceOptions): Tensor;
  softmax(axis?: number): Tensor;
  logSoftmax(axis?: number): Tensor;
  matmul(b: Tensor): Tensor;
  reshape(shape: Shape): Tensor;
  transpose(a?: number, b?: number): Tensor;
  permute(axes: readonly number[]): Tensor;
  expand(shape: Shape): Tensor;
  slice(axis: number, start: number, end?: number): Tensor;
  detach(): Tensor;
  /** Adds ∂this/∂p to `p.grad` for every tensor p with requiresGrad that this scalar depends on. Consumes the tape. */
  backward(options?: GradOptions): void;
  /** A copy on another backend, in the same storage. Waits for the device. Not differentiable. */
  to(backend: Backend): Promise<Tensor>;
}

const methods: TensorMethods & ThisType<Tensor> = {
  add(b) { return ops.add(this, b); },
  sub(b) { return ops.sub(this, b); },
  mul(b) { return ops.mul(this, b); },
  div(b) { return ops.div(this, b); },
  pow(b) { return ops.pow(this, b); },
  neg() { return ops.neg(this); },
  abs() { return ops.abs(this); },
  exp() { return ops.exp(this); },
  log() { return ops.log(this); },
  sqrt() { return ops.sqrt(this); },
  tanh() { return ops.tanh(this); },
  sigmoid() { return ops.sigmoid(this); },
  relu() { return ops.relu(this); },
  gelu() { return ops.gelu(this); },
  silu() { return ops.silu(this); },
  cast(dtype) { return ops.cast(this, dtype); },
  sum(axis, options) { return ops.sum(this, axis, options); },
  mean(axis, options) { return ops.mean(this, axis, options); },
  max(axis, options) { return ops.max(this, axis, options); },
  min(axis, options) { return ops.min(this, axis, options); },
  argmax(axis, options) { return ops.argmax(this, axis, options); },
  softmax(axis) { return ops.softmax(this, axis); },
  logSoftmax(axis) { return ops.logSoftmax(this, axis); },
  matmul(b) { return ops.matmul(this, b); },
  reshape(shape) { return ops.reshape(this, shape); },
  transpose(a, b) { return ops.transpose(this, a, b); },
  permute(axes) { return ops.permute(this, axes); },
  expand(shape) { return ops.expand(this, shape); },
  slice(axis, start, end) { return ops.slice(this, axis, start, end); },
  detach() { return ops.detach(this); },
  backward(options) { backward(this, options); },
  async to(backend) {
    return fromHost(await this.held('to'), this.shape, this.storage, { backend, requiresGrad: this.requiresGrad });
  },
}; // prettier-ignore

declare module './tensor.ts' {
  interface Tensor extends TensorMethods {}
}
Object.assign(Tensor.prototype, methods);
