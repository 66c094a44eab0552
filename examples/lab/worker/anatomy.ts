/** What a record of the tape is made of: the calls and kernels of both directions, without computing anything. */
import {
  alias,
  expr,
  fromHost,
  hollowGpu,
  hostArray,
  scope,
  tapeOf,
  type Backend,
  type BufferRef,
  type KernelCall,
  type Op,
  type ScalarFn,
  type TapeRecord,
  type Tensor,
} from 'bax';
import type { InnerCall, Pass, TapeCall } from './hood-tasks.ts';
import { watched } from './ran.ts';
import { backwardOf, forwardOf } from './record.ts';

export class Anatomist {
  /** WGSL by name, of all that was looked at. */
  readonly kernels: Record<string, string> = {};
  #backend!: Backend;
  #given: KernelCall[] = [];
  #maps: ScalarFn[] = [];

  static async open(): Promise<Anatomist> {
    const one = new Anatomist();
    const gpu = await hollowGpu((call) => one.#given.push(call));
    one.#backend = {
      ...gpu,
      map(fn, ...rest) {
        one.#maps.push(fn);
        gpu.map(fn, ...rest);
      },
    };
    return one;
  }

  /** Of a record whose tensors are still there. */
  of(record: TapeRecord): Pick<TapeCall, 'forward' | 'backward' | 'inner' | 'expression'> {
    const { op, outputs } = record;
    const { pass: forward, maps } = this.#pass(record.inputs, (x) => forwardOf(record, x));
    const { pass: backward, maps: derived } = this.#pass(
      [...record.inputs, ...outputs, outputs[0]],
      (all) => {
        const [x, y] = [all.slice(0, record.inputs.length), all.slice(record.inputs.length, -1)];
        return backwardOf(record, x, y, all.at(-1)!);
      },
    );
    const isElementwise = maps.length === 1 && forward.ran.length === 1 && forward.ran[0].op === op.name;
    return {
      forward,
      backward,
      inner: (op as Op).compose ? this.#inner(record) : [],
      expression: isElementwise
        ? { y: shown(maps[0]), gradient: derived[0] && shown(derived[0], 'g') }
        : undefined,
    };
  }

  #pass(
    tensors: readonly Tensor[],
    f: (x: readonly Tensor[]) => unknown,
  ): { pass: Pass; maps: readonly ScalarFn[] } {
    return scope(() => {
      const x = this.#hollow(tensors);
      [this.#given, this.#maps] = [[], []];
      const { ran } = watched(() => f(x));
      for (const { file, source } of this.#given) this.kernels[file] = source;
      return { pass: { ran, kernels: this.#given.map(({ file }) => file) }, maps: this.#maps };
    });
  }

  /** Tensors of the same shapes and strides, without values. */
  #hollow(tensors: readonly Tensor[]): Tensor[] {
    const roots = new Map<BufferRef, Tensor>();
    return tensors.map(({ view, storage }) => {
      let root = roots.get(view.buffer);
      if (!root) {
        root = fromHost(hostArray(storage, 0), [view.buffer.length], storage, { backend: this.#backend });
        roots.set(view.buffer, root);
      }
      return alias(root, { ...view, buffer: root.view.buffer });
    });
  }

  /** The composition, as a tape of its own. */
  #inner({ op, inputs, attrs }: TapeRecord): InnerCall[] {
    return scope(() => {
      const x = this.#hollow(inputs);
      for (const t of x) t.requiresGrad = t.dtype !== 'i32';
      const y = (op as Op).compose!(x, attrs);
      const tape = tapeOf(Array.isArray(y) ? (y as Tensor[])[0] : (y as Tensor));
      const calls = new Map(tape.map((record, i) => [record, i]));
      return tape.map((record) => ({
        op: record.op.name,
        shape: record.outputs[0].shape,
        scalars: (record.attrs as { readonly scalars?: readonly number[] }).scalars ?? [],
        from: record.inputs.flatMap((t, i): InnerCall['from'] => {
          const source = record.sources[i];
          if (source) return [{ call: calls.get(source)! }];
          const input = x.indexOf(t);
          return input < 0 ? [] : [{ input }];
        }),
      }));
    });
  }
}

/** Of a gradient's expression the last input is g. */
const shown = ({ inputs, outputs: [y] }: ScalarFn, last?: string): string =>
  expr.show(y, (i) => (last !== undefined && i === inputs - 1 ? last : inputs - (last ? 1 : 0) > 1 ? `x${i}` : 'x')); // prettier-ignore
