import type { Expr, ScalarFn, expr } from '@bax/core';

/** o = fn(a, b, c): each number names a register. Unused arguments repeat the first. */
export interface Instruction {
  readonly fn: expr.Fn;
  readonly o: number;
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

/**
 * A ScalarFn as a straight line of instructions. Registers are numbered: first the inputs, then the scalars, then
 * `constants`, then the temporaries; a temporary is used again once its value has been read for the last time.
 */
export interface Program {
  readonly inputs: number;
  readonly scalars: number;
  readonly constants: readonly number[];
  readonly registers: number;
  readonly instructions: readonly Instruction[];
  /** The register of each output. One that an instruction computes belongs to the outputs alone. */
  readonly outputs: readonly number[];
}

const programs = new WeakMap<ScalarFn, Program>();

/** The program of `fn`, compiled once. */
export function programOf(fn: ScalarFn): Program {
  let program = programs.get(fn);
  if (!program) programs.set(fn, (program = compile(fn)));
  return program;
}

function compile(fn: ScalarFn): Program {
  const nodes = inOrder(fn.outputs);
  const calls = nodes.filter((node) => node.kind === 'call');
  const constants = nodes.filter((node) => node.kind === 'const');

  const lastUse = new Map<Expr, Expr>();
  for (const node of calls) for (const arg of node.args) lastUse.set(arg, node);

  const register = new Map<Expr, number>();
  constants.forEach((node, i) => register.set(node, fn.inputs + fn.scalars + i));
  for (const node of nodes) {
    if (node.kind === 'input') register.set(node, node.index);
    if (node.kind === 'scalar') register.set(node, fn.inputs + node.index);
  }

  let registers = fn.inputs + fn.scalars + constants.length;
  const free: number[] = [];
  const instructions = calls.map((node): Instruction => {
    const [a, b, c] = node.args.map((arg) => register.get(arg)!);
    // Given back before the result takes one: an instruction may overwrite its own argument, element by element.
    for (const arg of new Set(node.args)) {
      if (arg.kind === 'call' && lastUse.get(arg) === node && !fn.outputs.includes(arg))
        free.push(register.get(arg)!);
    }
    const o = fn.outputs.includes(node) ? registers++ : (free.pop() ?? registers++);
    register.set(node, o);
    return { fn: node.fn, o, a, b: b ?? a, c: c ?? a };
  });

  return {
    inputs: fn.inputs,
    scalars: fn.scalars,
    constants: constants.map((node) => node.value),
    registers,
    instructions,
    outputs: fn.outputs.map((node) => register.get(node)!),
  };
}

/** Every node that the outputs need, once, each after its arguments. */
function inOrder(outputs: readonly Expr[]): Expr[] {
  const seen = new Set<Expr>();
  const visit = (node: Expr): void => {
    if (seen.has(node)) return;
    if (node.kind === 'call') node.args.forEach(visit);
    seen.add(node);
  };
  outputs.forEach(visit);
  return [...seen];
}
