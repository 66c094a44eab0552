/** What a micro-batch holds: tensors, and values that are not, inside of arrays, maps and plain objects. */
import { BaxError, isTensor, type Tensor } from '@bax/core';

/** A tensor, or a value that is none with the name under which it lies. */
export type Leaf = Tensor | readonly [name: string, value: unknown];

const isPlain = (x: object): boolean => [Object.prototype, null].includes(Object.getPrototypeOf(x));

/** All leaves but `validTokens`, in their order. */
export function leavesOf(value: unknown, name = ''): Leaf[] {
  if (isTensor(value)) return [value];
  if (typeof value === 'object' && value !== null) {
    if (Array.isArray(value)) return value.flatMap((part, i) => leavesOf(part, `${name}[${i}]`));
    if (value instanceof Map) return [...value].flatMap(([key, part]) => leavesOf(part, `${name}.${key}`));
    if (isPlain(value))
      return Object.entries(value).flatMap(([key, part]) =>
        key === 'validTokens' && name === '' ? [] : leavesOf(part, `${name}.${key}`),
      );
  }
  return [[name, value]];
}

/** Whether tensors agree in shape and dtype, and all else is the same. */
export const sameLeaves = (a: readonly Leaf[], b: readonly Leaf[]): boolean =>
  a.length === b.length &&
  a.every((one, i) => {
    const other = b[i]!;
    if (isTensor(one) !== isTensor(other)) return false;
    if (isTensor(one) && isTensor(other))
      return one.dtype === other.dtype && one.shape.join() === other.shape.join();
    const [[name, value], [otherName, otherValue]] = [one, other] as [[string, unknown], [string, unknown]];
    // What is inside of an object may have changed: only plain values are compared.
    const plain = typeof value !== 'object' && typeof value !== 'function';
    return name === otherName && (plain || value === null) && Object.is(value, otherValue);
  });

/** The same with each tensor replaced. */
export function withTensors<T>(value: T, f: (t: Tensor) => Tensor): T;
export function withTensors(value: unknown, f: (t: Tensor) => Tensor): unknown {
  if (isTensor(value)) return f(value);
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((part) => withTensors(part, f));
  if (value instanceof Map) return new Map([...value].map(([key, part]) => [key, withTensors(part, f)]));
  if (!isPlain(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, withTensors(part, f)]));
}

/** `of`, whose properties `names` change from step to step: a recorded step that reads one is an error. */
export function changing<T extends object>(of: T, names: readonly (keyof T & string)[]): T {
  for (const name of names)
    Object.defineProperty(of, name, {
      enumerable: false, // { ...of } leaves it out
      get() {
        throw new BaxError(
          `train: the loss reads ${name}, which a recorded step cannot follow; give it as a tensor of the batch, or pass { replay: false }`,
        );
      },
    });
  return of;
}
