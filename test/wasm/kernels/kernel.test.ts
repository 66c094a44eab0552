/** Every kernel of the package, for every target: the ones that modules export, and the ones that all ops make. */
import { readdirSync } from 'node:fs';
import { type DType, expr, scope } from '@bax/core';
import { wasm, type WasmBackend } from '@bax/wasm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { i32 } from '../../../packages/wasm/src/assembler/index.ts';
import { hasFma } from '../../../packages/wasm/src/features.ts';
import { defineKernel, type Kernel, type Target } from '../../../packages/wasm/src/kernels/kernel.ts';
import { reads, writes } from '../../../packages/wasm/src/kernels/lanes.ts';
import { mapKernel } from '../../../packages/wasm/src/kernels/map.ts';
import { everyOp, forCalls, plainInputs, resultAndGrads, stridedInputs } from '../../support/calls.ts';
import { disassemble } from '../support/disassemble.ts';

const folder = new URL('../../../packages/wasm/src/kernels/', import.meta.url);
const targets: readonly Target[] = [false, true].flatMap((fma) =>
  [false, true].map((sharedMemory) => ({ fma, sharedMemory })),
);

function expectSound(bytes: Uint8Array<ArrayBuffer>, { fma, sharedMemory }: Target): string {
  expect(WebAssembly.validate(bytes)).toBe(true);
  const text = disassemble(bytes);
  expect(text).toContain(sharedMemory ? '65536 shared)' : '65536)');
  if (!fma) expect(text).not.toContain('relaxed');
  return text;
}

const isKernel = (value: object): value is Kernel => 'bytes' in value && 'args' in value;
/** Kernels that a module exports, and those in what it exports. */
function kernelsIn(value: unknown): Kernel[] {
  if (typeof value !== 'object' || value === null) return [];
  return isKernel(value) ? [value] : Object.values(value).flatMap(kernelsIn);
}

beforeAll(() => expect(hasFma()).toBe(true));

describe.each(targets)('fma $fma, shared memory $sharedMemory', (target) => {
  it('exported kernels', async () => {
    const found: string[] = [];
    let fused = 0;
    for (const file of readdirSync(folder)) {
      const module = (await import(new URL(file, folder).href)) as object;
      for (const kernel of new Set(kernelsIn(module))) {
        const text = expectSound(kernel.bytes(target), target);
        found.push(kernel.name);
        if (text.includes('relaxed')) fused++;
      }
    }
    expect(found).toEqual(
      expect.arrayContaining(['matmul', 'pack', 'gather', 'random', 'sum along f32', 'scatterAdd f64']),
    );
    expect(fused > 0).toBe(target.fma);
  });

  it('map of every function, in every type, from and to every storage', () => {
    const [x, y, z] = [0, 1, 2].map(expr.input);
    const {
      add,
      sub,
      mul,
      div,
      neg,
      abs,
      min,
      max,
      pow,
      floor,
      exp,
      log,
      sqrt,
      tanh,
      sigmoid,
      sin,
      cos,
      erf,
    } = expr;
    const { lt, le, eq, select, ushr } = expr;
    const unary = [neg, abs, floor, exp, log, sqrt, tanh, sigmoid, sin, cos, erf].map((f) => f(x));
    const binary = [add, sub, mul, div, min, max, pow, lt, le, eq].map((f) => f(x, y));
    const floats = [
      ...unary,
      ...binary,
      select(lt(x, y), y, z),
      select(x, y, z),
      mul(lt(x, y), eq(y, z)),
      add(lt(x, y), 1),
    ];
    const unaryI32 = [neg, abs, floor].map((f) => f(x));
    const binaryI32 = [add, sub, mul, min, max, lt, le, eq, ushr].map((f) => f(x, y));
    const integers = [...unaryI32, ...binaryI32, select(lt(x, y), y, z), select(x, y, z)];
    const each = (type: DType, y: expr.Expr): void => {
      const fn = expr.scalarFn(type, 3, 1, [add(y, expr.scalar(0))]);
      const unit = { storage: type, step: 'unit' } as const;
      expectSound(mapKernel(fn, [unit, unit, unit], [unit]).bytes(target), target);
    };
    for (const y of floats) for (const type of ['f32', 'f64'] as const) each(type, y);
    for (const y of integers) each('i32', y);
    for (const type of ['f32', 'f64', 'i32'] as const) {
      const copy = expr.scalarFn(type, 1, 0, [x]);
      for (const step of ['unit', 'zero', 'any'] as const)
        for (const from of reads[type])
          for (const to of writes[type]) {
            const inputs = [{ storage: from, step }];
            const output = { storage: to, step: step === 'zero' ? 'unit' : step } as const;
            expectSound(mapKernel(copy, inputs, [output]).bytes(target), target);
          }
    }
    const refused = (type: DType, y: expr.Expr) => () => mapKernel(expr.scalarFn(type, 1, 0, [y]), [{ storage: type, step: 'unit' }], []).bytes(target); // prettier-ignore
    expect(refused('i32', exp(x))).toThrow(new Error('wasm: exp is not defined for i32'));
  });
});

describe.each([...targets])('fma $fma, shared memory $sharedMemory', (target) => {
  let backend: WasmBackend;
  beforeAll(
    async () => void (backend = await wasm({ threads: target.sharedMemory ? 2 : 1, fma: target.fma })),
  );
  afterAll(() => backend.close());

  it('whatever the ops and their gradients compile', async () => {
    const compiled: Uint8Array<ArrayBuffer>[] = [];
    const { Module } = WebAssembly;
    WebAssembly.Module = class extends Module {
      constructor(bytes: BufferSource) {
        super(bytes);
        compiled.push(bytes as Uint8Array<ArrayBuffer>);
      }
    };
    try {
      for (const [, op] of everyOp)
        for (const dtype of ['f32', 'f64'] as const)
          await forCalls(op, { mode: 'real', views: true, runs: 2 }, async (call) => {
            const options = { dtype, backend, requiresGrad: true };
            scope(() => void resultAndGrads(call, stridedInputs(call, options)));
            scope(() => void resultAndGrads(call, plainInputs(call, options)));
          });
    } finally {
      WebAssembly.Module = Module;
    }
    for (const bytes of compiled) expectSound(bytes, target);
    expect(compiled.length).toBeGreaterThan(100);
  });
});

describe('defineKernel', () => {
  it('reads its arguments from slots of eight bytes, and does its share of the units', () => {
    const kernel = defineKernel(
      'test',
      { i: 'i32', f: 'f32', d: 'f64', out: 'i32' },
      ({ args, from, to, scratch }) => [
        i32.store(args.out, args.i),
        [args.out, args.f, 0x38, 0, 4], // f32.store offset=4
        [args.out, args.d, 0x39, 0, 8], // f64.store offset=8
        i32.store(args.out, from, 16),
        i32.store(args.out, to, 20),
        i32.store(args.out, scratch, 24),
      ],
    );
    expect(kernel.args).toEqual(['i32', 'f32', 'f64', 'i32']);
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
    const [words, halves, wide] = [
      new Int32Array(memory.buffer),
      new Float32Array(memory.buffer),
      new Float64Array(memory.buffer),
    ];
    words[16] = -7;
    halves[18] = 1.5;
    wide[10] = Math.PI;
    words[22] = 1024;
    const module = new WebAssembly.Module(kernel.bytes({ fma: false, sharedMemory: false }));
    const { run } = new WebAssembly.Instance(module, { host: { memory } }).exports;
    (run as (...args: number[]) => void)(64, 3, 9, 4096);
    expect([words[256], halves[257], wide[129], ...words.subarray(260, 263)]).toEqual([
      -7,
      1.5,
      Math.PI,
      3,
      9,
      4096,
    ]);
  });
});
