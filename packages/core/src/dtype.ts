/** What can be computed with. f64 exists to check gradients; WebGPU has none. */
export type DType = 'f32' | 'f64' | 'i32';

/** What a buffer can hold. `map`, `matmul` and `gather` widen the narrow ones as they read. */
export type Storage = DType | 'f16' | 'bf16' | 'u8' | 'u32';

/** The floats of 16 bits. */
export type HalfFloat = 'f16' | 'bf16';

/** The host's array for each storage type; f16 and bf16 travel as their raw 16-bit patterns. */
export interface HostArrays {
  f32: Float32Array;
  f64: Float64Array;
  i32: Int32Array;
  f16: Uint16Array;
  bf16: Uint16Array;
  u8: Uint8Array;
  u32: Uint32Array;
}
export type TypedArray = HostArrays[Storage];

const constructors: { [S in Storage]: new (length: number) => HostArrays[S] } = {
  f32: Float32Array,
  f64: Float64Array,
  i32: Int32Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  u8: Uint8Array,
  u32: Uint32Array,
};
const bytes: Record<Storage, number> = { f32: 4, f64: 8, i32: 4, f16: 2, bf16: 2, u8: 1, u32: 4 };

/** Bytes of one element. */
export const bytesOf = (type: Storage): number => bytes[type];

/** What a storage computes as: itself, or what it is widened to without loss (u32 keeps its bits). */
export const dtypeOf = (type: Storage): DType =>
  type === 'f16' || type === 'bf16' ? 'f32' : type === 'u8' || type === 'u32' ? 'i32' : type;

/** A zero-filled host array of `length` elements. */
export const hostArray = <S extends Storage>(type: S, length: number): HostArrays[S] =>
  new constructors[type](length);

export const isFloat = (dtype: DType): dtype is 'f32' | 'f64' => dtype !== 'i32';
