/**
 * Writes ONNX models: the few messages of its protobuf that one product needs, by the numbers of their fields.
 * https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, https://protobuf.dev/programming-guides/encoding/
 */
import type { Factor } from '../tasks.ts';

/**
 * A model without inputs: `y` = a b, and `shape`, the shape of y, for those who want the product made and not copied.
 * `transposed`: b is [n, k], matrices only.
 */
export function productModel(a: Factor, b: Factor, transposed: boolean): Uint8Array {
  const product = transposed
    ? node('Gemm', ['a', 'b'], 'y', field(5, integerAttribute('transB', 1)))
    : node('MatMul', ['a', 'b'], 'y');
  const graph = message(
    field(1, product),
    field(1, node('Shape', ['y'], 'shape')),
    field(2, text('product')),
    field(5, constant('a', a)),
    field(5, constant('b', b)),
    field(12, output('y', FLOAT)),
    field(12, output('shape', INT64)),
  );
  const operators = message(field(1, text('')), field(2, 17)); // the standard ones, version 17
  return message(field(1, 8), field(7, graph), field(8, operators)); // version 8 of the format
}

const [FLOAT, INT64] = [1, 7] as const;

const node = (operator: string, inputs: readonly string[], result: string, ...more: Uint8Array[]): Uint8Array =>
  message(
    ...inputs.map((name) => field(1, text(name))),
    field(2, text(result)),
    field(4, text(operator)),
    ...more,
  ); // prettier-ignore

const integerAttribute = (name: string, value: number): Uint8Array =>
  message(field(1, text(name)), field(3, value), field(20, 2)); // of type INT

const constant = (name: string, { shape, data }: Factor): Uint8Array =>
  message(
    ...shape.map((length) => field(1, length)),
    field(2, FLOAT),
    field(8, text(name)),
    field(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
  );

/** Its shape follows from the nodes. */
const output = (name: string, type: number): Uint8Array =>
  message(field(1, text(name)), field(2, message(field(1, message(field(1, type))))));

/** A field: its number, the kind of its value (0 an integer, 2 bytes with their length before them), and the value. */
const field = (number: number, value: number | Uint8Array): Uint8Array =>
  typeof value === 'number'
    ? message(varint(8 * number), varint(value))
    : message(varint(8 * number + 2), varint(value.length), value);
const message = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
const text = (value: string): Uint8Array => new TextEncoder().encode(value);
/** Seven bits a byte, the lowest first. */
const varint = (n: number): Uint8Array =>
  Uint8Array.from(n < 0x80 ? [n] : [(n & 0x7f) | 0x80, ...varint(n >>> 7)]);
