/** Random sequences of operations, for state machines: what is done to the real thing is done to a simple model of it, too. */
import fc from 'fast-check';
import { CheckError, messageOf } from './errors.ts';

/** One thing that can be done, to a model M and to the real thing R. */
export interface Operation<M, R, T = unknown> {
  /** Draws its argument. Default: it has none. */
  readonly draw?: fc.Arbitrary<T>;
  /** Whether it can be done now; where not, it is left out. Default: always. */
  when?(model: M, argument: T): boolean;
  /** Does it to both, and throws where the two no longer agree. */
  run(model: M, real: R, argument: T): void | Promise<void>;
}

/** A sequence of operations, drawn at random. As text it is those that were done: `attach({"r":2}), merge()`. */
export interface Operations<M, R> {
  /** Does them one after the other. @throws CheckError that names the one that failed. */
  run(model: M, real: R): Promise<void>;
  toString(): string;
}

export interface OperationsOptions {
  /** The longest sequence. Default 20. */
  readonly most?: number;
}

/**
 * Sequences of the operations of a table, to be run on a fresh model and a fresh real thing:
 *
 *     fc.asyncProperty(operations(table), (sequence) => sequence.run(new Model(), new Real()))
 *
 * A failing one shrinks to fewer operations and smaller arguments; operations that could not be done are not shown.
 */
export const operations = <M, R>(
  table: Readonly<Record<string, Operation<M, R>>>,
  { most = 20 }: OperationsOptions = {},
): fc.Arbitrary<Operations<M, R>> => {
  const drawn = Object.entries(table).map(([name, operation]) =>
    (operation.draw ?? fc.constant(undefined)).map((argument) => ({ name, operation, argument })),
  );
  return fc.array(fc.oneof(...drawn), { maxLength: most, size: 'max' }).map((steps) => {
    let shown = steps;
    const show = ({ name, argument }: (typeof steps)[number]): string =>
      `${name}(${argument === undefined ? '' : fc.stringify(argument)})`;
    return {
      async run(model, real) {
        shown = [];
        for (const step of steps) {
          const { operation, argument } = step;
          if (!(operation.when?.(model, argument) ?? true)) continue;
          shown.push(step);
          try {
            await operation.run(model, real, argument);
          } catch (error) {
            if (fc.PreconditionFailure.isFailure(error)) throw error;
            throw new CheckError(`operation ${shown.length}, ${show(step)}: ${messageOf(error)}`, { cause: error }); // prettier-ignore
          }
        }
      },
      toString: () => shown.map(show).join(', ') || 'no operation',
    };
  });
};
