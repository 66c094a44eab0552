/** What a micro-batch holds: tensors, and values that are not, inside of arrays, maps and plain objects. */
import { BaxError, isTensor, type Tensor } from '@bax/core';

/** A tensor or another value, and the name under which it lies. */
export interface Leaf {
  readonly name: string;
  readonly value: unknown;
}

const isPlain = (x: object): boolean => [Object.prototype, null].includes(Object.getPrototypeOf(x));

/** All leaves but `validTokens`, in their order. */
export function leavesOf(value: unknown, name = ''): Leaf[] {
  if (typeof value === 'object' && value !== null && !isTensor(value)) {
    if (Array.isArray(value)) return value.flatMap((part, i) => leavesOf(part, `${name}[${i}]`));
    if (value instanceof Map) return [...value].flatMap(([key, part]) => leavesOf(part, `${name}.${key}`));
    if (isPlain(value))
      return Object.entries(value).flatMap(([key, part]) =>
        key === 'validTokens' && name === '' ? [] : leavesOf(part, `${name}.${key}`),
      );
  }
  return [{ name, value }];
}

/** The tensors among the leaves. */
export const tensorsIn = (leaves: readonly Leaf[]): Tensor[] =>
  leaves.map(({ value }) => value).filter(isTensor);

/** Whether the same lies under the same names, but for the elements of tensors. */
export const sameLeaves = (a: readonly Leaf[], b: readonly Leaf[]): boolean =>
  a.length === b.length &&
  a.every(({ name, value: one }, i) => {
    const { name: otherName, value: other } = b[i]!;
    if (name !== otherName) return false;
    if (isTensor(one))
      return isTensor(other) && one.dtype === other.dtype && one.shape.join() === other.shape.join();
    // What is inside of an object may have changed: only plain values are compared.
    const plain = typeof one !== 'object' && typeof one !== 'function';
    return (plain || one === null) && Object.is(one, other);
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
