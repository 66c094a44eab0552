/**
 * A function's body as data. WebAssembly is a stack machine: an instruction's operands come before it. So an expression
 * is the list of its operands followed by its opcode, and a body is a list of such lists; `Func` flattens it to bytes.
 *
 *     sum.set(i32.add(sum, i32.load(p)))     is     local.get p, i32.load, local.get sum, …  without the order to mind
 */
import { unsigned } from './leb128.ts';

export type ValueType = 'i32' | 'f32' | 'f64' | 'v128';

/** Bytes, other code, the value of a local, or a node whose bytes depend on where it stands. */
export type Code = number | readonly Code[] | Local | Structured | Branch | Call;

/** A named variable of a function. Used as an operand it stands for its value. */
export class Local {
  readonly name: string;
  readonly type: ValueType;
  readonly index: number;
  constructor(name: string, type: ValueType, index: number) {
    this.name = name;
    this.type = type;
    this.index = index;
  }
  set(value: Code): Code {
    return [value, 0x21, unsigned(this.index)];
  }
  /** Sets it and leaves the value as an operand. */
  tee(value: Code): Code {
    return [value, 0x22, unsigned(this.index)];
  }
}

/** What a branch names: the end of a block, or the beginning of a loop. */
export class Label {}

class Structured {
  readonly opcode: number;
  readonly label: Label;
  readonly body: Code;
  readonly otherwise: Code | undefined;
  constructor(opcode: number, label: Label, body: Code, otherwise?: Code) {
    this.opcode = opcode;
    this.label = label;
    this.body = body;
    this.otherwise = otherwise;
  }
}
class Branch {
  readonly opcode: number;
  readonly label: Label;
  constructor(opcode: number, label: Label) {
    this.opcode = opcode;
    this.label = label;
  }
}
class Call {
  readonly target: Callable;
  constructor(target: Callable) {
    this.target = target;
  }
}

const LOOP = 0x03;
const BLOCK = 0x02;
const IF = 0x04;
const ELSE = 0x05;
const END = 0x0b;
const BR = 0x0c;
const BR_IF = 0x0d;
/** The structure leaves no value on the stack. */
const NO_RESULT = 0x40;
const LOCAL_GET = 0x20;
const CALL = 0x10;

/** Runs `body`; a branch to its label leaves it. */
export function block(body: (end: Label) => Code): Code {
  const end = new Label();
  return new Structured(BLOCK, end, body(end));
}
export const branch = (to: Label): Code => new Branch(BR, to);
export const branchIf = (condition: Code, to: Label): Code => [condition, new Branch(BR_IF, to)];

/** Runs `body` once, and again for as long as `condition` holds after it. */
export function repeatWhile(body: Code, condition: Code): Code {
  const start = new Label();
  return new Structured(LOOP, start, [body, branchIf(condition, start)]);
}

/** Runs `then` if `condition` is not 0, else `otherwise`. */
export const when = (condition: Code, then: Code, otherwise?: Code): Code => [
  condition,
  new Structured(IF, new Label(), then, otherwise),
];

/** for (i = from; i < to; i += step) body, on unsigned numbers. */
export const loop = (i: Local, from: Code, to: Code, step: Code, body: Code): Code => {
  const before = [i, to, 0x49]; // i32.lt_u
  return [i.set(from), when(before, repeatWhile([body, i.set([i, step, 0x6a])], before))]; // i32.add
};

/** Something with a place in the module's index of functions. */
export interface Callable {
  readonly name: string;
  readonly params: readonly ValueType[];
  readonly result: ValueType | undefined;
}

/** A function of the host: its module is always `host`. */
export class Import implements Callable {
  readonly name: string;
  readonly params: readonly ValueType[];
  readonly result: ValueType | undefined;
  constructor(name: string, params: readonly ValueType[], result?: ValueType) {
    this.name = name;
    this.params = params;
    this.result = result;
  }
}

/** A function that is being written: parameters and locals are asked for by name, then `body` is set. */
export class Func implements Callable {
  readonly name: string;
  readonly result: ValueType | undefined;
  readonly #params: Local[] = [];
  readonly #locals: Local[] = [];
  body: Code = [];

  constructor(name: string, result?: ValueType) {
    this.name = name;
    this.result = result;
  }
  get params(): readonly ValueType[] {
    return this.#params.map((p) => p.type);
  }
  /** All parameters come before the first local. */
  param(name: string, type: ValueType = 'i32'): Local {
    if (this.#locals.length > 0)
      throw new Error(`wasm: parameter ${name} of ${this.name} comes after a local`);
    return push(this.#params, new Local(name, type, this.#params.length));
  }
  local(name: string, type: ValueType = 'i32'): Local {
    return push(this.#locals, new Local(name, type, this.#params.length + this.#locals.length));
  }

  /** Several at once: `const [i, j] = f.locals('i', 'j')`. */
  locals<const N extends readonly string[]>(...names: N): { [K in keyof N]: Local } {
    return names.map((name) => this.local(name)) as { [K in keyof N]: Local };
  }
  vectors<const N extends readonly string[]>(...names: N): { [K in keyof N]: Local } {
    return names.map((name) => this.local(name, 'v128')) as { [K in keyof N]: Local };
  }
  parameters<const N extends readonly string[]>(...names: N): { [K in keyof N]: Local } {
    return names.map((name) => this.param(name)) as { [K in keyof N]: Local };
  }

  /** The bytes of the function's entry in the code section, without their length. `indexOf` places what it calls. */
  encode(indexOf: (target: Callable) => number): number[] {
    const bytes: number[] = [...unsigned(this.#locals.length)];
    for (const { type } of this.#locals) bytes.push(1, typeCode[type]);
    flatten(this.body, [], indexOf, bytes);
    bytes.push(END);
    return bytes;
  }
}

function push<T>(list: T[], item: T): T {
  list.push(item);
  return item;
}

export const call = (target: Callable, ...args: readonly Code[]): Code => [...args, new Call(target)];

export const typeCode: Readonly<Record<ValueType, number>> = { i32: 0x7f, f32: 0x7d, f64: 0x7c, v128: 0x7b };

function flatten(code: Code, open: readonly Label[], indexOf: (f: Callable) => number, out: number[]): void {
  if (typeof code === 'number') out.push(code);
  else if (code instanceof Local) out.push(LOCAL_GET, ...unsigned(code.index));
  else if (code instanceof Call) out.push(CALL, ...unsigned(indexOf(code.target)));
  else if (code instanceof Branch) {
    const depth = open.lastIndexOf(code.label);
    if (depth < 0) throw new Error('wasm: a branch leaves a structure that it is not in');
    out.push(code.opcode, ...unsigned(open.length - 1 - depth)); // counted from the innermost
  } else if (code instanceof Structured) {
    const inside = [...open, code.label];
    out.push(code.opcode, NO_RESULT);
    flatten(code.body, inside, indexOf, out);
    if (code.otherwise !== undefined) {
      out.push(ELSE);
      flatten(code.otherwise, inside, indexOf, out);
    }
    out.push(END);
  } else for (const part of code) flatten(part, open, indexOf, out);
}
