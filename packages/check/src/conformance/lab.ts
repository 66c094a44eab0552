/**
 * Where checks are made: memory on a backend, and beside it, on the host, what that memory must hold. A check changes the
 * host's numbers by the plain definition of a call, makes the call, and compares the whole of every buffer: so what lies
 * between and around the elements of a view is guarded too, and so are the inputs. Freed memory is poisoned.
 */
import { type Backend, type DType, hostArray, type Storage, type TypedArray, type View } from '@bax/core';
import fc from 'fast-check';
import { type Broken, CheckError, lawError, messageOf } from '../errors.ts';
import { type Check, forAll, type RunOptions } from '../run.ts';
import { decode, encode, ints, poison, same } from './numbers.ts';
import { indices, place, places, showStrided, type Strided } from './strided.ts';

/** A view on a backend's memory and what that memory must hold. */
export interface Block {
  readonly name: string;
  readonly at: Strided;
  readonly view: View;
  /** Of the whole buffer, as its host array has it; blocks of one buffer share it. */
  readonly data: Float64Array;
  /** How far each element may be off: 0 where bits are demanded, Infinity where nothing is. */
  readonly allowed: Float64Array;
}

/** The poison that views and their surroundings are filled with. */
const wrong = (type: Storage, kind: number): number =>
  type === 'u8' ? 0x80 : type === 'i32' || type === 'u32' || kind % 2 === 1 ? 2 ** 23 : NaN;

export class Lab {
  readonly backend: Backend;
  /** The dtypes that the backend computes with. */
  readonly dtypes: readonly DType[];
  /** The relative error of one f32 operation. */
  readonly u: number;
  /** Whether NaN, infinities and subnormal numbers are IEEE's; WGSL's need not be. */
  readonly ieee: boolean;
  /** How many were tried. */
  cases = 0;
  readonly #options: RunOptions;
  readonly #blocks = new Set<View['buffer']>();
  #kind = 0;

  constructor(backend: Backend, options: RunOptions = {}) {
    this.backend = backend;
    this.dtypes = backend.info.dtypes;
    this.u = backend.info.roundoff;
    this.ieee = isIeee(backend);
    this.#options = options;
  }

  /** Those of the types that the backend computes with; the others are left out. */
  having<S extends Storage>(...types: S[]): S[] {
    return types.filter((t) => !isDType(t) || this.dtypes.includes(t));
  }

  /** Memory as it lies in the host's array. `value` is given the place; `gap` is what is between and around the elements. */
  raw(
    name: string,
    at: Strided,
    type: Storage,
    value: (i: number) => number,
    gap: (i: number) => number,
  ): Block {
    const data = new Float64Array(at.length);
    const own = places(at);
    if (own.length < at.length) for (let i = 0; i < at.length; i++) data[i] = gap(i);
    for (let e = 0; e < own.length; e++) data[own[e]] = value(own[e]);
    const host = hostArray(type, at.length);
    host.set(data);
    data.set(host); // rounded
    const buffer = this.backend.alloc(at.length, type);
    this.#blocks.add(buffer);
    this.backend.write(buffer, host);
    host.fill(1); // what was given to `write` is the caller's again
    const view = { buffer, shape: at.shape, strides: at.strides, offset: at.offset };
    return { name, at, view, data, allowed: new Float64Array(at.length) };
  }

  /** An input among poison. */
  input(name: string, at: Strided, type: Storage, value: (i: number) => number): Block {
    const gap = encode(type, wrong(type, this.#kind++));
    const coded = type === 'f16' || type === 'bf16' ? (i: number): number => encode(type, value(i)) : value;
    return this.raw(name, at, type, coded, () => gap);
  }

  /** A result: poison, unless `before` says what is there, among numbers that must stay. */
  output(name: string, at: Strided, type: DType, before?: (i: number) => number): Block {
    const fresh = wrong(type, this.#kind++);
    return this.raw(name, at, type, before ?? (() => fresh), ints(77, 50));
  }

  /** Another view of a block's buffer. */
  window({ data, allowed, view }: Block, name: string, at: Omit<Strided, 'length'>): Block {
    const window = { ...at, length: data.length };
    return { name, at: window, view: { buffer: view.buffer, ...at }, data, allowed };
  }

  /** The numbers that a block's buffer stands for. */
  values({ data, view }: Block): Float64Array {
    const { type } = view.buffer;
    return type === 'f16' || type === 'bf16' ? data.map((raw) => decode(type, raw)) : data;
  }

  /** Compares all of each buffer with what it must hold. */
  async expect(...blocks: readonly Block[]): Promise<void> {
    const read = await Promise.all(blocks.map(async (block) => this.backend.read(block.view.buffer)));
    blocks.forEach((block, i) => compare(block, read[i]));
  }

  /** Frees, poisoned, all that was made. */
  freeAll(): void {
    for (const buffer of this.#blocks) {
      this.backend.write(buffer, poison(buffer.type, buffer.length, this.#kind));
      this.backend.free(buffer);
    }
    this.#blocks.clear();
    this.#kind++;
  }

  /** Leaves freed, poisoned memory of many sizes behind, for whoever takes it without writing to it. */
  poison(): void {
    for (let length = 1; length < 2 ** 16; length = Math.ceil(length * 1.19)) {
      for (let copies = 0; copies < 2; copies++) this.#blocks.add(this.backend.alloc(length, 'f32'));
    }
    this.freeAll();
  }

  /** Checks so many random cases. */
  async forAll<T>(cases: number, arbitrary: fc.Arbitrary<T>, body: (x: T) => Promise<void>): Promise<void> {
    const tried = (n: number): void => void (this.cases += n);
    await forAll({ arbitrary, cases }, { ...this.#options, tried }, async (x) => {
      try {
        await body(x);
      } finally {
        this.freeAll();
      }
    });
  }

  /** Checks each of some cases. */
  async forEach<T>(cases: Iterable<T>, body: (x: T) => Promise<void>): Promise<void> {
    for (const x of cases) {
      try {
        await body(x);
        this.cases++;
      } catch (error) {
        throw new CheckError(`${messageOf(error)}\n  for      ${fc.stringify(x)}`, { cause: error });
      } finally {
        this.freeAll();
      }
    }
  }
}

const isDType = (type: Storage): type is DType => type === 'f32' || type === 'f64' || type === 'i32';
export const isIeee = ({ info }: Backend): boolean => info.roundoff <= 2 ** -24;

/** Says what an element must be. */
export function set(block: Block, p: number, value: number, allowed = 0): void {
  block.data[p] = value;
  block.allowed[p] = allowed;
}

function compare({ name, at, view, data, allowed }: Block, read: TypedArray): void {
  const what = (): string => `${name} ${view.buffer.type} ${showStrided(at)}`;
  if (read.length !== data.length)
    throw new CheckError(`${what()}: read ${read.length} numbers, expected ${data.length}`);
  const got = new Float64Array(read); // one type of array for the loop: some ten times as fast
  for (let p = 0; p < got.length; p++) {
    if (same(got[p], data[p]) || allowed[p] === Infinity || Math.abs(got[p] - data[p]) <= allowed[p])
      continue;
    const bound = allowed[p] > 0 ? ` within ${allowed[p]}` : '';
    for (const index of indices(at.shape)) {
      if (place(at, index) === p)
        throw new CheckError(
          `${what()}: at [${index.join(', ')}] got ${got[p]}, expected ${data[p]}${bound}`,
        );
    }
    throw new CheckError(`${what()}: place ${p}, outside the view, became ${got[p]} and was ${data[p]}`);
  }
}

const broken = ({ name: who }: Backend, law: string): Broken => ({ who, law, again: 'await checkBackend(backend, { ' }); // prettier-ignore

/** A check, which must leave no memory behind. */
export const check = (name: string, body: (lab: Lab) => Promise<void>): Check => ({
  name,
  async run(backend, options = {}) {
    const lab = new Lab(backend, options);
    const before = backend.memory();
    try {
      lab.poison();
      await body(lab);
    } catch (error) {
      throw lawError(broken(backend, name), error);
    } finally {
      lab.freeAll();
    }
    const { live, buffers } = backend.memory();
    if (live !== before.live || buffers !== before.buffers)
      throw lawError(broken(backend, name), new CheckError(`${buffers - before.buffers} buffers and ${live - before.live} bytes more are live than before`)); // prettier-ignore
    options.tried?.(lab.cases || 1);
  },
});
