import { describe, expect, it } from 'vitest';
import {
  assemble,
  call,
  Func,
  i32,
  Import,
  MAX_PAGES,
  PAGE,
} from '../../../packages/wasm/src/assembler/index.ts';
import { disassemble } from '../support/disassemble.ts';

/** Two functions, of which the first calls the other and both of the host's. */
function sample(sharedMemory: boolean): Uint8Array<ArrayBuffer> {
  const [log, pow] = [new Import('log', ['f64'], 'f64'), new Import('pow', ['f64', 'f64'], 'f64')];
  const [run, helper] = [new Func('run'), new Func('helper', 'i32')];
  const [x, v] = [run.param('x'), helper.param('v', 'v128')];
  helper.body = [[v, 0xfd, 0x53]]; // v128.any_true
  run.local('unused', 'f32');
  run.body = i32.store(x, call(helper, [0xfd, 0x0c, ...new Uint8Array(16).fill(1)]));
  return assemble({ sharedMemory, imports: [log, pow], functions: [run, helper] });
}

describe.each([false, true])('shared memory: %s', (sharedMemory) => {
  it('says what it takes and what it gives', () => {
    const module = new WebAssembly.Module(sample(sharedMemory));
    expect(WebAssembly.Module.imports(module)).toMatchObject([
      { module: 'host', name: 'memory', kind: 'memory' },
      { module: 'host', name: 'log', kind: 'function' },
      { module: 'host', name: 'pow', kind: 'function' },
    ]);
    expect(WebAssembly.Module.exports(module)).toMatchObject([{ name: 'run', kind: 'function' }]);
  });

  it('reads back', () => {
    const text = disassemble(sample(sharedMemory));
    expect(text).toContain(`(import "host" "memory" (memory (;0;) 1 65536${sharedMemory ? ' shared' : ''}))`);
    expect(text).toContain('(type (;0;) (func (param f64) (result f64)))');
    expect(text).toContain('(type (;1;) (func (param f64 f64) (result f64)))');
    expect(text).toContain('(import "host" "pow" (func (;1;) (type 1)))');
    expect(text).toMatch(/\(func \(;2;\) \(type 2\) \(param i32\)\s+\(local f32\)/);
    expect(text).toMatch(/\(func \(;3;\) \(type 3\) \(param v128\) \(result i32\)/);
    expect(text).toContain('(export "run" (func 2))');
    expect(text).toMatch(/call 3\n/);
  });

  it('takes a memory of its own kind alone', () => {
    const module = new WebAssembly.Module(sample(sharedMemory));
    const link = (shared: boolean) => () =>
      new WebAssembly.Instance(module, {
        host: {
          memory: new WebAssembly.Memory({ initial: 1, maximum: MAX_PAGES, shared }),
          log: Math.log,
          pow: Math.pow,
        },
      });
    expect(link(sharedMemory)).not.toThrow();
    expect(link(!sharedMemory)).toThrow(WebAssembly.LinkError);
  });
});

it('equal signatures are one type', () => {
  const functions = ['a', 'b', 'c'].map((name, i) => {
    const f = new Func(name, 'i32');
    f.param('x', i === 2 ? 'f32' : 'i32');
    f.body = i32.const(i);
    return f;
  });
  const text = disassemble(assemble({ sharedMemory: false, functions }));
  expect(text.match(/\(type \(;/g)).toHaveLength(2);
  expect(text).toMatch(/\(func \(;2;\) \(type 1\)/);
});

it('pages are 64 KiB, and 4 GiB of them', () => expect(PAGE * MAX_PAGES).toBe(2 ** 32));
