import { type Code, f32x4, f64x2, type Func, i32x4, Local, type ValueType } from '../assembler/index.ts';
import type { Target } from './kernel.ts';

/**
 * Where vector code is written: it hands out locals, and keeps each constant in one, set before the loop: an engine
 * would otherwise build a vector constant anew each time round.
 */
export class Scope {
  readonly target: Target;
  readonly #f: Func;
  readonly #constants = new Map<string, Local>();
  readonly #before: Code[] = [];
  #count = 0;

  constructor(f: Func, target: Target) {
    this.#f = f;
    this.target = target;
  }

  /** A local of its own. */
  temp(type: ValueType = 'v128'): Local {
    return this.#f.local(`t${this.#count++}`, type);
  }
  /** The value as a local: itself if it is one, else a new one and the code that sets it. */
  named(value: Code): [set: Code, local: Local] {
    if (value instanceof Local) return [[], value];
    const local = this.temp();
    return [local.set(value), local];
  }
  f32(value: number): Local {
    return this.#constant(`f32 ${Object.is(value, -0) ? '-0' : value}`, () => f32x4.const(value));
  }
  f64(value: number): Local {
    return this.#constant(`f64 ${Object.is(value, -0) ? '-0' : value}`, () => f64x2.const(value));
  }
  i32(value: number): Local {
    return this.#constant(`i32 ${value}`, () => i32x4.const(value));
  }
  /** Sets the constants: to be placed before the code that uses them, after that code was written. */
  get before(): Code {
    return this.#before;
  }

  #constant(key: string, value: () => Code): Local {
    let local = this.#constants.get(key);
    if (!local) {
      this.#constants.set(key, (local = this.temp()));
      this.#before.push(local.set(value()));
    }
    return local;
  }
}
