/**
 * From a scalar expression (core's expr.ts) to WGSL: the one kernel that is not a file. A thread does one element, or four
 * that lie side by side where every operand allows it. For example x0 · 2 + 1, which is
 * `add(mul(input(0), constant(2)), constant(1))` there, becomes for contiguous x0:
 *
 *     let x0 = b0[(p.offset0 + 4 * i) >> 2];
 *     let v0 = x0 * c0;                        // c0 = vec4f(2)
 *     let v1 = v0 + c1;                        // c1 = vec4f(1)
 *     b1[(p.offset1 + 4 * i) >> 2] = v1;
 */
import type { Expr, expr, ScalarFn, Storage } from '@bax/core';
import { emitCall, float, isComparison, library } from './functions.ts';
import type { Access, FieldType, Kernel } from './kernel.ts';

/** How an operand's elements lie along the innermost axis: side by side, all in one place (broadcast), or some apart. */
export type Step = 'unit' | 'zero' | 'any';
export interface Operand {
  /** Which of the dispatch's buffers. */
  readonly slot: number;
  readonly storage: Storage;
  readonly step: Step;
}
export interface MapShape {
  readonly operands: readonly Operand[];
  readonly inputs: number;
  /** Which buffers are written. */
  readonly access: readonly Access[];
  /** Axes, at least 1 and at most 4. */
  readonly rank: number;
  /** Whether a thread does four elements. */
  readonly four: boolean;
}

export const WORKGROUP = 64;
/** Axes that one dispatch walks. */
export const MAP_AXES = 4;

/** Reads element `at` of a buffer, as the number it stands for. */
const reads: Readonly<Record<Storage, (b: string, at: string) => string>> = {
  f32: (b, at) => `${b}[${at}]`,
  i32: (b, at) => `${b}[${at}]`,
  u32: (b, at) => `${b}[${at}]`,
  f16: (b, at) => `unpack2x16float(${b}[(${at}) >> 1])[(${at}) & 1]`,
  bf16: (b, at) => `bitcast<f32>((${b}[(${at}) >> 1] >> (u32((${at}) & 1) * 16)) << 16)`,
  u8: (b, at) => `((${b}[(${at}) >> 2] >> (u32((${at}) & 3) * 8)) & 0xff)`,
  f64: () => '',
};
const elementOf: Readonly<Record<Storage, string>> = { f32: 'f32', i32: 'i32', u32: 'u32', f16: 'u32', bf16: 'u32', u8: 'u32', f64: '' }; // prettier-ignore
/** What reading one gives. */
const valueOf: Readonly<Record<Storage, string>> = { ...elementOf, f16: 'f32', bf16: 'f32' };

/** The parameters of such a kernel, by name. */
export type MapParams = Record<string, number | readonly number[]>;

export function mapKernel(fn: ScalarFn, shape: MapShape): Kernel<MapParams> {
  const { operands, inputs, access, rank, four } = shape;
  if (fn.type === 'f64') throw new Error('webgpu: there is no f64');
  const params: Record<string, readonly [FieldType, number]> = {};
  let size = 0;
  const field = (name: string, type: FieldType): void => {
    const bytes = type === 'vec4i' || type === 'vec4u' ? 16 : 4;
    const at = Math.ceil(size / bytes) * bytes;
    params[name] = [type, at];
    size = at + bytes;
  };
  if (rank > 1) field('shape', 'vec4u');
  if (rank > 1) operands.forEach((_, i) => field(`strides${i}`, 'vec4i'));
  field('count', 'u32');
  field('length', 'u32');
  operands.forEach(({ step }, i) => {
    field(`offset${i}`, 'i32');
    if (step === 'any') field(`step${i}`, 'i32');
  });
  const { constants, extra, leaf } = leaves(fn);
  for (let i = 0; i < fn.scalars + extra.length; i++) field(`s${i}`, fn.type);

  const width = four ? 4 : 1;
  const V = four ? `vec4<${fn.type}>` : fn.type;
  const lines: string[] = [];
  if (rank > 1) {
    lines.push(
      `let row = i / (p.shape.x / ${width});`,
      `let column = i % (p.shape.x / ${width}) * ${width};`,
    );
    lines.push('var rest = row;');
    for (let axis = 1; axis < rank; axis++) {
      const last = axis === rank - 1;
      lines.push(`let i${axis} = i32(rest${last ? '' : ` % p.shape[${axis}]`});`);
      if (!last) lines.push(`rest /= p.shape[${axis}];`);
    }
  } else lines.push(`let column = i * ${width};`);
  operands.forEach(({ step }, i) => {
    let at = `p.offset${i}`;
    for (let axis = 1; axis < rank; axis++) at += ` + i${axis} * p.strides${i}[${axis}]`;
    if (step === 'unit') at += ' + i32(column)';
    if (step === 'any') at += ` + i32(column) * p.step${i}`;
    lines.push(`let a${i} = ${at};`);
  });
  for (let i = 0; i < inputs; i++) {
    const { slot, storage, step } = operands[i];
    let value: string;
    if (four && step === 'unit') value = `b${slot}[a${i} >> 2]`;
    else if (four) value = `vec4<${elementOf[storage]}>(b${slot}[a${i} >> 2][a${i} & 3])`;
    else value = reads[storage](`b${slot}`, `a${i}`);
    const typed = valueOf[storage] === fn.type ? value : `V(${value})`;
    lines.push(`let x${i} = ${typed};`);
  }
  const results = evaluate(fn, leaf, lines);
  results.forEach((result, o) => {
    const { storage } = operands[inputs + o];
    const value = storage === fn.type ? result : `${four ? `vec4<${storage}>` : storage}(${result})`;
    lines.push(`let y${o} = ${value};`);
  });
  const stores = results.map((_, o) => {
    const i = inputs + o;
    return four ? `b${operands[i].slot}[a${i} >> 2] = y${o};` : `b${operands[i].slot}[a${i}] = y${o};`;
  });
  if (four && rank === 1) {
    // The last elements of a row whose length is not a multiple of 4, one by one: what lies behind them stays.
    const single = results.map((_, o) => {
      const i = inputs + o;
      return `b${operands[i].slot}[a${i} >> 2][e] = y${o}[e];`;
    });
    lines.push(`if (column + 4 <= p.length) {`, ...stores.map((s) => `  ${s}`), '} else {');
    lines.push(
      '  for (var e = 0u; e < p.length - column; e++) {',
      ...single.map((s) => `    ${s}`),
      '  }',
      '}',
    );
  } else lines.push(...stores);

  const source = [
    `alias V = ${V};`,
    `alias U = ${four ? 'vec4u' : 'u32'};`,
    'struct Params {',
    ...Object.entries(params).map(([name, [type]]) => `  ${name}: ${type},`),
    '}',
    '@group(0) @binding(0) var<uniform> p: Params;',
    ...access.map((a, slot) => {
      const { storage } = operands.find((o) => o.slot === slot)!;
      const element = four ? `vec4<${elementOf[storage]}>` : elementOf[storage];
      return `@group(0) @binding(${slot + 1}) var<storage, ${a}> b${slot}: array<${element}>;`;
    }),
    library(calls(fn)),
    `@compute @workgroup_size(${WORKGROUP})`,
    'fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {',
    `  let i = (group.y * groups.x + group.x) * ${WORKGROUP}u + local;`,
    '  if (i >= p.count) { return; }',
    ...constants.map((line) => `  ${line}`),
    ...lines.map((line) => `  ${line}`),
    '}',
    '',
  ].join('\n');
  return {
    file: `map ${fn.key} ${showShape(shape)}`,
    params,
    size: Math.ceil(size / 16) * 16,
    bindings: access,
    source,
  };
}

const showShape = ({ operands, rank, four, access }: MapShape): string =>
  `${rank}${four ? 'x4' : ''} ${operands.map((o) => `${o.slot}${o.storage}${o.step}`).join(' ')} ${access.join(' ')}`;

/** Numbers of a function that no literal can express (infinities): they travel as scalars behind the function's own. */
export const extraScalars = (fn: ScalarFn): readonly number[] => leaves(fn).extra;

interface Leaves {
  readonly constants: readonly string[];
  readonly extra: readonly number[];
  readonly leaf: (node: Expr) => string;
}
const known = new WeakMap<ScalarFn, Leaves>();
/** Names for what an expression is made of. Constants are named too, so that no compiler folds them into an overflow. */
function leaves(fn: ScalarFn): Leaves {
  let found = known.get(fn);
  if (found) return found;
  const constants: string[] = [];
  const extra: number[] = [];
  const names = new Map<Expr, string>();
  const leaf = (node: Expr): string => names.get(node)!;
  const name = (node: Expr): void => {
    if (names.has(node)) return;
    if (node.kind === 'call') {
      names.set(node, '');
      node.args.forEach(name);
    } else if (node.kind === 'input') names.set(node, `x${node.index}`);
    else {
      const c = `c${constants.length}`;
      names.set(node, c);
      let value: string;
      if (node.kind === 'scalar') value = `p.s${node.index}`;
      else if (fn.type === 'i32')
        value = `${Math.trunc(node.value) | 0}i`.replace('-2147483648i', '(-2147483647i - 1i)');
      else if (Number.isFinite(Math.fround(node.value))) value = float(node.value);
      else {
        value = `p.s${fn.scalars + extra.length}`;
        extra.push(node.value);
      }
      constants.push(`let ${c} = V(${value});`);
    }
  };
  fn.outputs.forEach(name);
  known.set(fn, (found = { constants, extra, leaf }));
  return found;
}

/** Adds a line for each call, each once, and gives the names of the outputs. */
function evaluate(fn: ScalarFn, leaf: (node: Expr) => string, lines: string[]): string[] {
  const done = new Map<Expr, string>();
  const visit = (node: Expr): string => {
    if (node.kind !== 'call') return leaf(node);
    const before = done.get(node);
    if (before !== undefined) return before;
    const args = node.args.map((arg, i) => (node.fn === 'select' && i === 0 ? visit(arg) : number(arg)));
    const name = `v${done.size}`;
    lines.push(`let ${name} = ${emitCall(fn.type, node.fn, args, node.args)};`);
    done.set(node, name);
    return name;
  };
  const number = (node: Expr): string =>
    isComparison(node) ? `select(V(0), V(1), ${visit(node)})` : visit(node);
  return fn.outputs.map(number);
}

function* calls(fn: ScalarFn): Generator<expr.Fn> {
  const seen = new Set<Expr>();
  const all = [...fn.outputs];
  for (let node = all.pop(); node; node = all.pop()) {
    if (node.kind !== 'call' || seen.has(node)) continue;
    seen.add(node);
    all.push(...node.args);
    yield node.fn;
  }
}
