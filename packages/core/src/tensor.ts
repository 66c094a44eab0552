/// <reference lib="esnext.disposable" preserve="true" />
import type { Backend, View } from './backend.ts';
import type { DType, HostArrays, Storage, TypedArray } from './dtype.ts';
import { bytesOf, dtypeOf, hostArray } from './dtype.ts';
import { BaxError } from './errors.ts';
import { valuesOf } from './half.ts';
import { claim, newMemory, partOf, release, versionOf, wholeOf, type Hold, type Memory } from './memory.ts';
import { enroll } from './scope.ts';
import { rowMajor, showShape, sizeOf, type Shape } from './shape.ts';
import { showValues } from './show.ts';
import type { TapeRecord } from './tape.ts';
import { isContiguous } from './view.ts';

const BRAND = Symbol.for('bax.tensor');

/** A strided window on device memory, and its place in the tape. Its operations are in `ops/`; its methods in `methods.ts`. */
// oxlint-disable-next-line typescript/no-unsafe-declaration-merging -- methods.ts and Symbol.dispose below set what is merged
export class Tensor {
  /** Where its elements lie; `moveTo` alone changes it, and `hold` with it. */
  view: View;
  /** What it computes as: f32 where it is held in f16 or bf16. */
  readonly dtype: DType;
  #requiresGrad = false;
  /** The accumulated gradient that `backward()` left, of the same shape. */
  grad: Tensor | undefined;
  /** The call that made this tensor, if an input of it was tracked. */
  record: TapeRecord<Tensor> | undefined;
  /** Exempt from scopes and from `grad`'s early freeing. */
  kept = false;
  /** A record names it, as an input or an output. */
  taped = false;
  /** Made for a tape alone: freed when `grad` consumes it. */
  tapeOwned = false;
  hold: Hold;

  constructor(view: View, memory: Memory) {
    this.view = view;
    this.dtype = dtypeOf(view.buffer.type);
    this.hold = claim(memory, this);
    enroll(this);
  }

  get shape(): Shape {
    return this.view.shape;
  }
  get rank(): number {
    return this.view.shape.length;
  }
  get size(): number {
    return sizeOf(this.view.shape);
  }
  /** What its memory holds. Where that is narrower than `dtype` the tensor is frozen, and every op widens as it reads. */
  get storage(): Storage {
    return this.view.buffer.type;
  }
  /** Bytes of the elements it shows, as they are held; views share them. */
  get bytes(): number {
    return this.size * bytesOf(this.storage);
  }
  /** Its gradient is wanted: `backward()` fills `grad`. Set it on parameters, before they are used. @throws if it is held narrow. */
  get requiresGrad(): boolean {
    return this.#requiresGrad;
  }
  set requiresGrad(wanted: boolean) {
    if (wanted) wantWide('requiresGrad', this);
    this.#requiresGrad = wanted;
  }
  get backend(): Backend {
    return this.hold.memory.backend;
  }
  get tracked(): boolean {
    return this.requiresGrad || this.record !== undefined;
  }
  get freed(): boolean {
    return this.hold.freed !== undefined;
  }

  /** Gives the memory back now. Using the tensor afterwards is an error; disposing twice is not. */
  dispose(reason = 'by dispose()'): void {
    release(this.hold, reason);
  }

  /** Throws if the tensor was freed. `by` is the op that wants it. */
  check(by: string): this {
    if (this.freed) throw new BaxError(`${by}: this tensor was freed ${this.hold.freed}`);
    return this;
  }

  /** The elements in row-major order, as a new host array of `dtype`. Waits for the device. */
  async data(): Promise<HostArrays[DType]> {
    return valuesOf(this.storage, await this.held('data'));
  }

  /** The elements in row-major order as they are held, f16 and bf16 as raw patterns: a new host array. Waits for the device. */
  async held(by = 'held'): Promise<TypedArray> {
    this.check(by);
    const { buffer, offset, shape, strides } = this.view;
    if (this.size === 0) return hostArray(this.storage, 0);
    const end = shape.reduce((at, length, i) => at + (length - 1) * strides[i]!, offset) + 1;
    const window = await this.backend.read(buffer, offset, end - offset);
    return isContiguous(this.view) ? window : readStrided(window, { ...this.view, offset: 0 });
  }

  /** The one number of a tensor with one element. */
  async item(): Promise<number> {
    if (this.size !== 1)
      throw new BaxError(`item: needs one element, this tensor is ${showShape(this.shape)}`);
    return (await this.data())[0]!;
  }

  /** Prints shape, dtype and values, wherever they are. */
  async print(): Promise<void> {
    console.log(`${this.#header()} ${showValues(this.shape, await this.data())}`);
  }

  toString(): string {
    if (this.freed) return `${this.#header()} freed ${this.hold.freed}`;
    const values = this.peek();
    return values ? `${this.#header()} ${showValues(this.shape, values)}` : this.#header();
  }

  #header(): string {
    const held = this.storage === this.dtype ? '' : ` held in ${this.storage}`;
    return `Tensor ${this.dtype} ${showShape(this.shape)}${held} on ${this.backend.name}`;
  }

  /** The values without waiting, where the device's memory is the host's (cpu, wasm); else undefined. */
  peek(): HostArrays[DType] | undefined {
    if (this.freed) return undefined;
    const all = this.backend.peek?.(this.view.buffer);
    return all && valuesOf(this.storage, readStrided(all, this.view));
  }
}

function readStrided(from: TypedArray, { buffer, shape, strides, offset }: View): TypedArray {
  const out = hostArray(buffer.type, sizeOf(shape));
  const index = new Array<number>(shape.length).fill(0);
  for (let i = 0, at = offset; i < out.length; i++) {
    out[i] = from[at]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      at -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}

export interface Tensor {
  /** `using x = …` frees x at the end of its block. */
  [Symbol.dispose](): void;
}
// Set here and not in the class: a brand that other installed copies know, `using` where the engine has it, console.log.
const disposeSymbol: symbol | undefined = Symbol.dispose;
Object.defineProperty(Tensor.prototype, BRAND, { value: true });
Object.defineProperty(Tensor.prototype, Symbol.for('nodejs.util.inspect.custom'), { value(this: Tensor) { return this.toString(); } }); // prettier-ignore
if (disposeSymbol)
  Object.defineProperty(Tensor.prototype, disposeSymbol, {
    value(this: Tensor) {
      this.dispose();
    },
  });

/** Whether `x` is a tensor, of this or of another installed copy of bax. */
export const isTensor = (x: unknown): x is Tensor => typeof x === 'object' && x !== null && BRAND in x;

/** @throws if t is held narrower than it computes: such a tensor is frozen. `what` names it. */
export function wantWide(
  by: string,
  t: Pick<Tensor, 'shape' | 'dtype' | 'storage'>,
  what = 'this tensor',
): void {
  if (t.storage !== t.dtype)
    throw new BaxError(
      `${by}: ${what} ${showShape(t.shape)} is held in ${t.storage}, and what is held so is frozen: a small change would be rounded away; train a copy() of it, which is ${t.dtype}`,
    );
}

/** A new tensor in fresh memory; contents undefined. */
export function empty(shape: Shape, type: Storage, backend: Backend): Tensor {
  const buffer = backend.alloc(sizeOf(shape), type);
  return new Tensor(
    { buffer, shape: [...shape], strides: rowMajor(shape), offset: 0 },
    newMemory(backend, buffer),
  );
}

/** Another tensor on the same memory. */
export const alias = (t: Tensor, view: View = t.view): Tensor => new Tensor(view, t.hold.memory);

/** Exempts a tensor from scopes and from `grad`'s early freeing; it lives until `dispose()`. */
export function keep<T extends Tensor>(t: T): T {
  t.check('keep').kept = true;
  return t;
}

/** Makes `t` a tensor on part of the memory of `copy`, which has its values and is used up. What was recorded of `t` stays valid. */
export function moveTo(t: Tensor, copy: Tensor): void {
  const memory = partOf(wholeOf(copy.hold.memory));
  memory.version = versionOf(t.hold.memory);
  release(t.hold, 'when it was moved');
  t.view = copy.view;
  t.hold = claim(memory, t);
  copy.dispose();
}
