/** P45: blocks never overlap, growth loses nothing, what is freed comes back. */
import { BaxError, type Backend, expr, type Storage, type View } from '@bax/core';
import { cpu } from '@bax/cpu';
import { wasm } from '@bax/wasm';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { addressOf, LinearMemory, sizeClass, type WasmBuffer } from '../../packages/wasm/src/memory.ts';

import { runs } from '../support/runs.ts';
import { ints, make, valuesOf } from './support/views.ts';

const PAGE = 65536;
const RESERVED = 4096;
const linear = ({ initial = 1, maximum = 65536, shared = false } = {}): LinearMemory =>
  new LinearMemory(new WebAssembly.Memory({ initial, maximum, shared }), RESERVED);
const kinds = [
  { kind: 'memory of its own', shared: false },
  { kind: 'shared memory', shared: true },
];

describe('size classes', () => {
  it('hold what is asked for, waste a quarter at most, and are few', () => {
    const bytes = fc.oneof(
      fc.nat(4096),
      fc.nat(2 ** 31),
      fc.nat(30).map((n) => 2 ** n),
    );
    fc.assert(
      fc.property(bytes, (n) => {
        const block = sizeClass(n);
        expect(block).toBeGreaterThanOrEqual(n);
        expect(block % 64).toBe(0);
        expect(block).toBeLessThanOrEqual(Math.max(n + 64, 1.25 * n));
        expect(sizeClass(block)).toBe(block);
      }),
      runs(1000),
    );
    const classes = new Set(Array.from({ length: 2 ** 16 }, (_, n) => sizeClass(n)));
    expect(classes.size).toBe(4 + 4 * 8); // to 256 by 64, and four for each doubling to 65,536
  });
  it.each([
    [0, 64],
    [1, 64],
    [64, 64],
    [65, 128],
    [256, 256],
    [257, 320],
    [320, 320],
    [513, 640],
    [1024, 1024],
    [1025, 1280],
    [2 ** 20 + 1, 1.25 * 2 ** 20],
  ])('%i bytes take %i', (bytes, block) => expect(sizeClass(bytes)).toBe(block));
});

describe.each(kinds)('$kind', ({ shared }) => {
  it('what is freed is what comes next, of its own class alone', () => {
    const memory = linear({ shared });
    const [a, b] = [memory.alloc(100, 'f32'), memory.alloc(100, 'f32')];
    const at = addressOf(a);
    memory.free(a);
    expect(addressOf(memory.alloc(200, 'f32'))).not.toBe(at);
    expect(addressOf(memory.alloc(55, 'f64'))).toBe(at); // 440 bytes: the class of 448, as 400 is
    expect(addressOf(b)).not.toBe(at);
  });

  it('counts what is live, pooled and was live at most', () => {
    const memory = linear({ shared });
    const counts = (): number[] => Object.values(memory.report());
    expect(Object.keys(memory.report())).toEqual(['live', 'pooled', 'peak', 'buffers']);
    expect(counts()).toEqual([0, 0, 0, 0]);
    const [a, b] = [memory.alloc(16, 'f32'), memory.alloc(100, 'u8')];
    expect(counts()).toEqual([192, 0, 192, 2]);
    memory.free(a);
    expect(counts()).toEqual([128, 64, 192, 1]);
    const c = memory.alloc(3, 'f16');
    expect(counts()).toEqual([192, 0, 192, 2]);
    memory.free(b);
    memory.free(c);
    expect(counts()).toEqual([0, 192, 192, 0]);
  });

  it('joins neighbours before it grows, whatever the order in which they were freed', () => {
    const memory = linear({ shared });
    // The first page holds RESERVED, 30 blocks of 2,048 and less than 5 more.
    const blocks = Array.from({ length: 28 }, () => memory.alloc(512, 'f32'));
    const at = blocks.map(addressOf);
    const last = memory.alloc(512, 'f32'); // so that what is freed is not at the top
    for (const i of [7, 3, 5, 4, 6, 20, 21]) memory.free(blocks[i]!);
    const joined = memory.alloc(5 * 512, 'f32'); // 3 to 7; nowhere else is there room
    expect(addressOf(joined)).toBe(at[3]);
    expect(memory.wasm.buffer.byteLength).toBe(PAGE);
    expect(memory.report().pooled).toBe(2 * 2048);
    const two = memory.alloc(1024, 'f32');
    expect(addressOf(two)).toBe(at[20]);
    expect(memory.report().pooled).toBe(0);
    // All free, the top too: fresh memory again.
    for (const buffer of [joined, two, last, ...blocks.filter((b) => b.address !== undefined)])
      memory.free(buffer);
    expect(memory.report()).toMatchObject({ live: 0, buffers: 0, pooled: 29 * 2048 });
    expect(addressOf(memory.alloc(28 * 512, 'f32'))).toBe(RESERVED);
    expect(memory.wasm.buffer.byteLength).toBe(PAGE);
    expect(memory.report().pooled).toBe(0);
  });

  it('growing loses nothing, and views are of the memory as it is', () => {
    const memory = linear({ shared });
    const small = memory.alloc(1000, 'f32');
    memory.arrayOf(small).fill(7);
    const before = memory.f32;
    const big = memory.alloc(PAGE, 'f64'); // eight pages
    expect(memory.wasm.buffer.byteLength).toBeGreaterThan(PAGE);
    memory.arrayOf(big).fill(3);
    expect([...memory.arrayOf(small)]).toEqual(new Array(1000).fill(7));
    expect(memory.f32 === before).toBe(false); // a detached array cannot even be printed
    for (const view of [memory.f32, memory.i32, memory.f64])
      expect(view.byteLength).toBe(memory.wasm.buffer.byteLength);
    expect(memory.f32).toBe(memory.f32);
    expect(memory.f32[addressOf(small) / 4]).toBe(7);
    expect(memory.f64[addressOf(big) / 8 + PAGE - 1]).toBe(3);
  });

  it('random programs: blocks never overlap, nothing is lost, all comes back', () => {
    const storages: readonly Storage[] = ['f32', 'f64', 'i32', 'u8', 'f16'];
    const step = fc.record({
      free: fc.boolean(),
      which: fc.nat(),
      length: fc.oneof(fc.nat(40), fc.nat(3000), fc.nat(40000)),
      type: fc.constantFrom(...storages),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 120 }), (steps) => {
        const memory = linear({ shared });
        const live: { buffer: WasmBuffer; mark: number }[] = [];
        let [peak, sum] = [0, 0];
        const check = ({ buffer, mark }: (typeof live)[number]): void =>
          expect(memory.arrayOf(buffer).every((x) => x === mark)).toBe(true);
        steps.forEach(({ free, which, length, type }, i) => {
          if (free && live.length > 0) {
            const [gone] = live.splice(which % live.length, 1);
            check(gone!);
            sum -= gone!.buffer.block;
            memory.free(gone!.buffer);
          } else {
            const buffer = memory.alloc(length, type);
            const mark = (i % 100) + 1;
            memory.arrayOf(buffer).fill(mark);
            expect(addressOf(buffer) % 64).toBe(0);
            expect(addressOf(buffer)).toBeGreaterThanOrEqual(RESERVED);
            expect(addressOf(buffer) + buffer.block).toBeLessThanOrEqual(memory.wasm.buffer.byteLength - 256);
            live.push({ buffer, mark });
            peak = Math.max(peak, (sum += buffer.block));
          }
        });
        live.forEach(check);
        expect(memory.report()).toMatchObject({ live: sum, peak, buffers: live.length });
        for (const { buffer } of live) memory.free(buffer);
        expect(memory.report()).toMatchObject({ live: 0, buffers: 0 });
      }),
      runs(60),
    );
  });

  it('at its end says what is missing, and stays usable', () => {
    const memory = linear({ maximum: 4, shared });
    const first = memory.alloc(2 * PAGE, 'u8');
    memory.arrayOf(first).fill(9);
    const tooMuch = (): unknown => memory.alloc(3 * PAGE, 'u8');
    expect(tooMuch).toThrow(
      new BaxError(
        'wasm: no memory for 196608 u8: the system gives no 0.2 MiB more; 0.1 MiB are in use. Free tensors, take a smaller batch, or a smaller model',
      ),
    );
    expect(tooMuch).toThrow(BaxError);
    expect(() => memory.alloc(2 ** 30, 'f64')).toThrow(
      'wasm: no memory for 1073741824 f64: WebAssembly addresses 4096 MiB; 0.1 MiB are in use.',
    );
    expect(memory.report()).toMatchObject({ live: 2 * PAGE, buffers: 1 });
    expect(memory.arrayOf(first).every((x) => x === 9)).toBe(true);
    memory.free(first);
    expect(addressOf(memory.alloc(3 * PAGE, 'u8'))).toBe(RESERVED); // joined, and one page more than there was
  });
});

it('grows by what is needed where a quarter more cannot be had', () => {
  const memory = linear({ initial: 96, maximum: 98 });
  memory.alloc(96 * PAGE, 'u8'); // with what is reserved, one page too many; a quarter more would be 24
  expect(memory.wasm.buffer.byteLength).toBe(97 * PAGE);
});

describe('the backend', () => {
  let backend: Backend;
  beforeEach(async () => void (backend = await wasm({ threads: 1 })));
  const reference = cpu();

  it.each<Storage>(['f32', 'f64', 'i32', 'f16', 'bf16', 'u8', 'u32'])('writes and reads %s', async (type) => {
    const buffer = backend.alloc(5, type);
    const zeros = backend.peek!(buffer)!.slice().fill(0);
    backend.write(buffer, zeros);
    backend.write(buffer, zeros.slice(0, 2).fill(7), 3);
    expect([...(await backend.read(buffer))]).toEqual([0, 0, 0, 7, 7]);
    expect([...(await backend.read(buffer, 2, 2))]).toEqual([0, 7]);
    const copy = await backend.read(buffer, 4);
    backend.write(buffer, zeros);
    expect([...copy]).toEqual([7]);
  });

  it('refuses the wrong kind of array, and a freed buffer', async () => {
    const buffer = backend.alloc(4, 'f32');
    expect(() => backend.write(buffer, new Float64Array(4))).toThrow(
      new Error('wasm: a f32 buffer cannot be written from a Float64Array'),
    );
    const view = { buffer, shape: [4], strides: [1], offset: 0 };
    backend.free(buffer);
    const message = 'wasm: a buffer of 4 f32 was used after it was freed';
    expect(() => backend.free(buffer)).toThrow(message);
    expect(() => backend.peek!(buffer)).toThrow(message);
    expect(() => backend.write(buffer, new Float32Array(4))).toThrow(message);
    expect(() => backend.reduce('sum', view, view)).toThrow(message);
    await expect(backend.read(buffer)).rejects.toThrow(message);
    expect(backend.memory()).toMatchObject({ live: 0, buffers: 0 });
  });

  /** A product with more rows than are worth packing for: B's packed copy is kept from its second use on. */
  const [M, K, N] = [40, 24, 24];
  const product = (on: Backend, b: View): number[] => {
    const a = make(on, [M, K], 'f32', ints(1));
    const out = make(on, [M, N], 'f32', () => NaN);
    on.matmul(a, b, out);
    const values = valuesOf(on, out);
    for (const { buffer } of [a, out]) on.free(buffer);
    return values;
  };
  const weight = (on: Backend): View => make(on, [K, N], 'f32', ints(2));

  it('keeps a packed copy of a matrix that is used again, among the pooled bytes', () => {
    const b = weight(backend);
    const expected = product(reference, weight(reference));
    expect(product(backend, b)).toEqual(expected);
    const before = backend.memory();
    expect(product(backend, b)).toEqual(expected);
    expect(product(backend, b)).toEqual(expected);
    expect(backend.memory().live).toBe(before.live);
    const address = (b.buffer as WasmBuffer).packs![0]!.address;
    expect(address).toBeGreaterThan(0);
    expect(product(backend, b)).toEqual(expected);
    expect((b.buffer as WasmBuffer).packs).toMatchObject([{ address }]); // packed once
    backend.free(b.buffer);
    expect((b.buffer as WasmBuffer).packs).toBeUndefined();
    expect(backend.memory()).toMatchObject({ live: 0, buffers: 0 });
  });

  const of = (on: Backend, shape: number[], data: Float32Array): View =>
    make(on, shape, 'f32', (i) => data[i]!);
  const data = Float32Array.from({ length: K * N }, (_, i) => ints(9)(i));
  const writers: Readonly<Record<string, (on: Backend, b: View) => void>> = {
    write: (on, b) => on.write(b.buffer, data),
    'write of a part': (on, b) => on.write(b.buffer, data.subarray(0, 5), 40),
    map: (on, b) => on.map(expr.scalarFn('f32', 1, 0, [expr.neg(expr.input(0))]), [b], [b], []),
    reduce: (on, b) => on.reduce('sum', of(on, [2, K, N], Float32Array.of(...data, ...data)), { ...b, shape: [1, K, N], strides: [K * N, N, 1] }),
    matmul: (on, b) => on.matmul(of(on, [K, K], data), of(on, [K, N], data), b),
    gather: (on, b) => on.gather(of(on, [K, N], data), make(on, [K], 'i32', (i) => (5 * i) % K), b),
    scatterAdd: (on, b) => on.scatterAdd(make(on, [2], 'i32', () => 3), of(on, [2, N], data.slice(0, 2 * N)), b),
  }; // prettier-ignore
  it.each(Object.entries(writers))('%s into the matrix drops its packed copy', (_, write) => {
    const [b, c] = [weight(backend), weight(reference)];
    for (let i = 0; i < 3; i++) product(backend, b);
    write(backend, b);
    write(reference, c);
    expect(product(backend, b)).toEqual(product(reference, c));
  });
});
