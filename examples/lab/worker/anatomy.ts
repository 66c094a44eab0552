/** What a record of the tape is made of: the calls and kernels of both directions, without computing anything. */
import { expr, tapeOf, type Op, type ScalarFn, type TapeRecord, type Tensor } from 'bax';
import { Hollow, type Given } from './hollow.ts';
import type { InnerCall, Pass, TapeCall } from './hood-tasks.ts';
import { backwardOf, forwardOf } from './record.ts';

export class Anatomist {
  readonly #hollow: Hollow;
  private constructor(hollow: Hollow) {
    this.#hollow = hollow;
  }
  static async open(): Promise<Anatomist> {
    return new Anatomist(await Hollow.open());
  }

  /** WGSL by name, of all that was looked at. */
  get kernels(): Readonly<Record<string, string>> {
    return this.#hollow.kernels;
  }

  /** Of a record whose tensors are still there. */
  of(record: TapeRecord): Pick<TapeCall, 'forward' | 'backward' | 'inner' | 'expression'> {
    const { op, outputs } = record;
    const forward = this.#hollow.of((like) => void forwardOf(record, like(record.inputs)));
    const backward = this.#hollow.of((like) => {
      const all = like([...record.inputs, ...outputs, outputs[0]]);
      const [x, y] = [all.slice(0, record.inputs.length), all.slice(record.inputs.length, -1)];
      backwardOf(record, x, y, all.at(-1)!);
    });
    const [maps, derived] = [forward.expressions, backward.expressions];
    const isElementwise = maps.length === 1 && forward.ran.length === 1 && forward.ran[0].op === op.name;
    return {
      forward: passOf(forward),
      backward: passOf(backward),
      inner: (op as Op).compose ? this.#inner(record) : [],
      expression: isElementwise
        ? { y: shown(maps[0]), gradient: derived[0] && shown(derived[0], 'g') }
        : undefined,
    };
  }

  /** The composition, as a tape of its own. */
  #inner({ op, inputs, attrs }: TapeRecord): InnerCall[] {
    return this.#hollow.of((like) => {
      const x = like(inputs);
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
    }).result;
  }
}

const passOf = ({ ran, kernels }: Given<unknown>): Pass => ({ ran, kernels });

/** Of a gradient's expression the last input is g. */
const shown = ({ inputs, outputs: [y] }: ScalarFn, last?: string): string =>
  expr.show(y, (i) => (last !== undefined && i === inputs - 1 ? last : inputs - (last ? 1 : 0) > 1 ? `x${i}` : 'x')); // prettier-ignore
