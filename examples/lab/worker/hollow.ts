/** What a GPU is given, seen also where there is none: tensors without values, and the kernels for what is done with them. */
import { alias, fromHost, hollowGpu, hostArray, scope, type Backend, type BufferRef, type KernelCall, type ScalarFn, type Tensor } from 'bax'; // prettier-ignore
import { watched } from './ran.ts';
import type { Dispatched } from './tasks.ts';

export interface Given<T> {
  /** What `f` gave, which holds no tensors. */
  readonly result: T;
  readonly ran: readonly Dispatched[];
  /** Of all of it, in order. */
  readonly kernels: readonly string[];
  /** Of elementwise calls. */
  readonly expressions: readonly ScalarFn[];
}

export class Hollow {
  /** WGSL by name, of all that was given. */
  readonly kernels: Record<string, string> = {};
  #backend!: Backend;
  #given: string[] = [];
  #expressions: ScalarFn[] = [];

  static async open(): Promise<Hollow> {
    const hollow = new Hollow();
    const gpu = await hollowGpu(({ file, source }: KernelCall) => {
      hollow.#given.push(file);
      hollow.kernels[file] = source;
    });
    hollow.#backend = {
      ...gpu,
      map(fn, ...rest) {
        hollow.#expressions.push(fn);
        gpu.map(fn, ...rest);
      },
    };
    return hollow;
  }

  /** What a GPU is given for `f`, which makes its tensors by `like`. They are gone when it ends. */
  of<T>(f: (like: (tensors: readonly Tensor[]) => Tensor[]) => T): Given<T> {
    return scope(() => {
      const roots = new Map<BufferRef, Tensor>();
      const given: string[] = (this.#given = []);
      const expressions: ScalarFn[] = (this.#expressions = []);
      const ends: number[] = [];
      const { result, ran } = watched(
        () => f((tensors) => tensors.map((t) => this.#like(t, roots))),
        () => ends.push(given.length),
      );
      const kernelsOf = (i: number): string[] => given.slice(ends[i - 1] ?? 0, ends[i]);
      return {
        result,
        ran: ran.map((one, i) => ({ ...one, kernels: kernelsOf(i) })),
        kernels: given,
        expressions,
      };
    });
  }

  /** Of the same shape and strides, and the same memory as others where they have the same. */
  #like({ view, storage }: Tensor, roots: Map<BufferRef, Tensor>): Tensor {
    let root = roots.get(view.buffer);
    if (!root) {
      root = fromHost(hostArray(storage, 0), [view.buffer.length], storage, { backend: this.#backend });
      roots.set(view.buffer, root);
    }
    return alias(root, { ...view, buffer: root.view.buffer });
  }
}
