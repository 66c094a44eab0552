/**
 * P55: worker.js with another thread in each of its gaps: what two processors do to one another once in a million claims
 * happens here each time. Its Atomics are ours, and before each of them the other thread acts.
 */
import { readFileSync } from 'node:fs';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { i32, type Code } from '../../../packages/wasm/src/assembler/index.ts';
import { defineKernel } from '../../../packages/wasm/src/kernels/kernel.ts';
import * as word from '../../../packages/wasm/src/threads/control.ts';

const source = readFileSync(new URL('../../../packages/wasm/worker.js', import.meta.url), 'utf8');
const [TABLE, MODULE] = [4096, 8192];

/** Runs the worker for one job of `units` units in chunks; `other` acts before each of its atomic operations. */
function oneJob(units: number, chunk: number, other: (c: Int32Array, operation: string) => void) {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
  const c = new Int32Array(memory.buffer, word.CONTROL, word.CONTROL_BYTES / 4);
  const bytes = defineKernel('share', { out: 'i32' }, ({ from, to, scratch }): Code => [
    [i32.const(1024), i32.const(1), 0xfe, 0x1e, 2, 0], // i32.atomic.rmw.add: one call more
    0x1a, // drop
    i32.store(i32.add(i32.const(1032), i32.mul(i32.load(i32.const(1024)), i32.const(8))), from),
    i32.store(i32.add(i32.const(1036), i32.mul(i32.load(i32.const(1024)), i32.const(8))), to),
    i32.store(i32.const(1028), scratch),
  ]).bytes({ fma: false, sharedMemory: true }); // prettier-ignore
  new Uint8Array(memory.buffer, MODULE, bytes.length).set(bytes);
  new Uint32Array(memory.buffer, TABLE, 2).set([MODULE, bytes.length]);
  c.set([1, 1, 0, 0, units, chunk, 0, 32768, 512, 0, 0, TABLE]);
  let sleeps = 0;
  const acting =
    <A extends unknown[], R>(operation: string, f: (...args: A) => R) =>
    (...args: A): R => {
      other(c, operation);
      return f(...args);
    };
  const atomics = {
    load: acting('load', (array: Int32Array, i: number) => Atomics.load(array, i)),
    add: acting('add', (array: Int32Array, i: number, by: number) => Atomics.add(array, i, by)),
    sub: acting('sub', (array: Int32Array, i: number, by: number) => Atomics.sub(array, i, by)),
    notify: () => 0,
    wait: (): string => {
      if (++sleeps > 1) c[word.STOP] = 1;
      return 'ok';
    },
  };
  const said: unknown[] = [];
  const threads = {
    parentPort: { postMessage: (message: unknown) => said.push(message) },
    workerData: { memory, control: word.CONTROL, thread: 3 },
  };
  const process = { getBuiltinModule: () => threads };
  runInNewContext(source, {
    process,
    Atomics: atomics,
    WebAssembly,
    Int32Array,
    Uint32Array,
    Uint8Array,
    Math,
  });
  const words = new Int32Array(memory.buffer);
  const shares = Array.from({ length: words[256]! }, (_, i) => [words[260 + 2 * i]!, words[261 + 2 * i]!]);
  expect(said).toEqual(['ready']);
  return { shares, scratch: words[257], control: c };
}

describe('a worker', () => {
  it('does all units if it is alone, in its own scratch, and leaves', () => {
    const { shares, scratch, control } = oneJob(10, 4, () => undefined);
    expect(shares).toEqual([[0, 4], [4, 8], [8, 10]]); // prettier-ignore
    expect(scratch).toBe(32768 + 3 * 512);
    expect([control[word.ACTIVE], control[word.FAILED]]).toEqual([0, 0]);
  });

  it('claims nothing that another claims in between', () => {
    const theirs: number[] = [];
    const { shares } = oneJob(200, 3, (c) => {
      const from = Atomics.add(c, word.NEXT, 3);
      if (from < 200) theirs.push(from);
    });
    const all = [...shares.map(([from]) => from!), ...theirs].sort((a, b) => a - b);
    expect(all).toEqual(Array.from({ length: 67 }, (_, i) => 3 * i));
    expect(shares.length).toBeGreaterThan(3);
  });

  it('takes nothing of a job that was closed before it counted itself, nor once it is closed', () => {
    expect(oneJob(50, 1, (c) => (c[word.OPEN] = 0)).shares).toEqual([]);
    const late = oneJob(50, 1, (c, operation) => {
      if (operation === 'add' && c[word.ACTIVE] === 0) c[word.OPEN] = 0;
    });
    expect(late.shares).toEqual([]);
  });

  it('counts itself active as long as it may write', () => {
    let claims = 0;
    oneJob(6, 2, (c, operation) => {
      if (operation === 'load' || c[word.NEXT] === 0) return; // else a claim, or the end of its work
      claims++;
      expect(c[word.ACTIVE]).toBe(1);
    });
    expect(claims).toBe(4); // at 2, 4 and 6, and at the end
  });
});
