import type { Backend, BufferRef } from '@bax/core';
import fc from 'fast-check';
import { type Broken, CheckError, lawError, messageOf } from '../errors.ts';
import { type Check, forAll } from '../run.ts';

const broken = ({ name: who }: Backend, law: string): Broken => ({ who, law, again: 'await checkLoraOn(backend, { ' }); // prettier-ignore

/** A law that is tried on so many random cases; `holds` throws where it does not. */
export const law = <T>(
  name: string,
  cases: number,
  arbitrary: fc.Arbitrary<T>,
  holds: (backend: Backend, x: T) => Promise<void>,
): Check => ({
  name,
  async run(backend, options = {}) {
    try {
      await forAll({ arbitrary, cases }, options, async (x) => lend(backend, async (lent) => holds(lent, x)));
    } catch (error) {
      throw lawError(broken(backend, name), error);
    }
  },
});

/** A law that is tried on each of a list. */
export const lawOfEach = <T>(
  name: string,
  list: readonly T[],
  holds: (backend: Backend, x: T) => Promise<void>,
): Check => ({
  name,
  async run(backend, { timeBudget = Infinity, tried } = {}) {
    const end = performance.now() + timeBudget;
    for (const [i, x] of list.entries()) {
      if (i > 0 && performance.now() > end) return tried?.(i);
      try {
        await lend(backend, async (lent) => holds(lent, x));
      } catch (error) {
        const cause = new CheckError(`${messageOf(error)}\n  for      ${fc.stringify(x)}`, { cause: error });
        throw lawError(broken(backend, name), cause);
      }
    }
    tried?.(list.length);
  },
});

/** The backend with some of its methods in another's hands. */
export const wrapped = (backend: Backend, own: Partial<Backend>): Backend =>
  new Proxy(backend, {
    get(target, name) {
      const value: unknown = Reflect.get(name in own ? own : target, name);
      return typeof value === 'function' && !(name in own) ? (value.bind(target) as unknown) : value;
    },
  });

/** Lets `use` have the backend, and then frees whatever it took: hundreds of cases shall take no memory. */
export async function lend(backend: Backend, use: (lent: Backend) => Promise<void>): Promise<void> {
  const taken = new Set<BufferRef>();
  const lent = wrapped(backend, {
    alloc(length, type) {
      const buffer = backend.alloc(length, type);
      taken.add(buffer);
      return buffer;
    },
    free(buffer) {
      if (taken.delete(buffer)) backend.free(buffer); // else it is back already, and the garbage collector is late
    },
  });
  try {
    await use(lent);
  } finally {
    for (const buffer of taken) backend.free(buffer);
    taken.clear();
  }
}
