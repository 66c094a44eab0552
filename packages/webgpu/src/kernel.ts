/** A WGSL kernel as the host sees it: its source, its parameters, its bindings. */

export type Numbers = readonly number[] | Int32Array | Uint32Array;
export type FieldType = 'u32' | 'i32' | 'f32' | 'vec2u' | 'vec4u' | 'vec4i';
export type Access = 'read' | 'read_write';

/** P is the kernel's `struct Params`, O the names of its `override` constants. */
export interface Kernel<P extends object = object, O extends string = string> {
  /** `kernels/softmax.wgsl`, as errors name it. */
  readonly file: string;
  /** Type and byte offset of each field of `struct Params`, in order. */
  readonly params: { readonly [F in keyof P]: readonly [FieldType, number] };
  /** Bytes of `struct Params`. */
  readonly size: number;
  /** How bindings 1, 2, … are used; binding 0 is the uniform. */
  readonly bindings: readonly Access[];
  readonly source: string;
  /** Never set: it carries O. */
  readonly overrides?: Partial<Readonly<Record<O, number>>>;
}

/** What makes a pipeline of a kernel: values of its overrides, and what its `alias T` stands for. */
export interface Variant<O extends string = string> {
  readonly constants?: Partial<Readonly<Record<O, number>>>;
  /** Default f32. vec4f: four at a time, of kernels that allow it. */
  readonly T?: 'f32' | 'i32' | 'u32' | 'vec4f';
}

/** Writes the parameters to `bytes` at `at`. */
export function pack<P extends object>(kernel: Kernel<P>, params: P, bytes: DataView, at: number): void {
  for (const name in kernel.params) {
    const [type, offset] = kernel.params[name];
    const value = params[name] as number | Numbers;
    if (typeof value !== 'number') {
      const length = type === 'vec2u' ? 2 : 4;
      for (let i = 0; i < length; i++) bytes.setInt32(at + offset + 4 * i, value[i] ?? 0, true);
    } else if (type === 'f32') bytes.setFloat32(at + offset, value, true);
    else bytes.setInt32(at + offset, value, true);
  }
}
