import { checkBackend, leftOut } from '@bax/check';
import { bytesOf, type Backend, type BufferRef } from '@bax/core';
import { cpu } from '@bax/cpu';
import { describe, expect, it } from 'vitest';

/** What a device can do wrong, each of which the suite must see; and one that does nothing wrong. */
const faults = {
  none: '',
  'a write overtakes the queue': 'memory:',
  'a write keeps the array': 'memory:',
  'a read does not wait': 'memory:',
  'a free does not wait': 'memory:',
  'products in half precision': 'matmul:',
  'scale forgotten': 'matmul:',
  'accumulate forgotten': 'matmul:',
  'two strides swapped': 'matmul:',
  'the last element skipped': 'map:',
  'one element too many': 'map:',
  'the other axis': 'reduce:',
  'the next row': 'gather:',
  'another key': 'random:',
  'a little noise': 'determinism:',
  'a buffer too few': 'memory:',
} as const;
type Fault = keyof typeof faults;

/**
 * Works as a GPU does: everything waits in a queue until something is read, there is no f64 and no `peek`, and NaN is not
 * to be relied on.
 */
function queued(fault: Fault): Backend {
  const device = cpu();
  const queue: (() => void)[] = [];
  const later = (call: () => void): void => void queue.push(call);
  let [waiting, bytes] = [0, 0];
  /** Does the call on inputs of fewer digits. */
  const coarsely = ({ buffer }: { buffer: BufferRef }, call: () => void): void => {
    const data = device.peek!(buffer);
    if (!(data instanceof Float32Array)) return call();
    const before = data.slice();
    const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
    for (let i = 0; i < bits.length; i++) bits[i] &= 0xffffe000;
    call();
    data.set(before);
  };
  return {
    name: 'queued',
    info: { adapter: fault, features: [], dtypes: ['f32', 'i32'], roundoff: 2 ** -23 },
    alloc: (length, type) => device.alloc(length, type),
    free(buffer) {
      if (fault === 'a free does not wait') return device.free(buffer);
      const size = buffer.length * bytesOf(buffer.type);
      waiting++;
      bytes += size;
      later(() => {
        device.free(buffer);
        waiting--;
        bytes -= size;
      });
    },
    write(buffer, data, at) {
      if (fault === 'a write overtakes the queue') return device.write(buffer, data, at);
      const own = fault === 'a write keeps the array' ? data : data.slice();
      later(() => device.write(buffer, own, at));
    },
    async read(buffer, at, length) {
      if (fault !== 'a read does not wait') for (const call of queue.splice(0)) call();
      return device.read(buffer, at, length);
    },
    map(fn, inputs, outputs, scalars) {
      const cut = <V extends { shape: readonly number[] }>(v: V): V => {
        if (v.shape.length !== 1) return v;
        if (fault === 'the last element skipped') return { ...v, shape: [Math.max(0, v.shape[0] - 1)] };
        return fault === 'one element too many' ? { ...v, shape: [v.shape[0] + 1] } : v;
      };
      const given = Array.from(scalars, (s) =>
        fault === 'a little noise' ? s * (1 + 1e-6 * Math.random()) : s,
      );
      later(() => device.map(fn, inputs.map(cut), outputs.map(cut), given));
    },
    reduce(op, x, out) {
      const other = fault === 'the other axis' && x.shape.length === 2 && x.shape[0] === x.shape[1];
      const from = other ? { ...x, shape: x.shape.toReversed(), strides: x.strides.toReversed() } : x;
      later(() => device.reduce(op, from, out));
    },
    matmul(a, b, out, { scale = 1, accumulate = false } = {}) {
      const options = {
        scale: fault === 'scale forgotten' ? 1 : scale,
        accumulate: fault === 'accumulate forgotten' ? false : accumulate,
      };
      const square = a.shape.at(-1) === a.shape.at(-2);
      const strides = a.strides.slice();
      if (fault === 'two strides swapped' && square) strides.push(...strides.splice(-2).toReversed());
      const call = (): void => device.matmul({ ...a, strides }, b, out, options);
      later(fault === 'products in half precision' ? () => coarsely(a, call) : call);
    },
    gather(table, index, out) {
      const by = fault === 'the next row' && table.shape[0] > 1 ? table.strides[0] : 0;
      later(() => device.gather({ ...table, offset: table.offset + by }, index, out));
    },
    scatterAdd: (index, rows, out) => later(() => device.scatterAdd(index, rows, out)),
    random: (key, out) => {
      const own = fault === 'another key' ? key.toReversed() : key.slice();
      later(() => device.random(own, out));
    },
    memory() {
      const { buffers, live, ...rest } = device.memory();
      return {
        ...rest,
        buffers: buffers - waiting - (fault === 'a buffer too few' && live > 100 ? 1 : 0),
        live: live - bytes,
      };
    },
  };
}

describe('the conformance suite', () => {
  it('passes a device that works as a GPU does, and says what it left out', async () => {
    const backend = queued('none');
    // What a queue can change, and each family once.
    for (const only of ['memory:', 'refuse an index', '(P31)']) {
      const report = await checkBackend(backend, { only, runs: 0.1 });
      expect(report.failures).toEqual([]);
      expect(report.passed.length).toBeGreaterThan(0);
      expect(report.leftOut).toEqual(leftOut(backend));
    }
    expect(leftOut(backend)).toEqual([
      'f64: queued does not compute in it',
      `NaN and infinities: a roundoff of ${2 ** -23} is not IEEE's`,
    ]);
  });

  const wrong = Object.entries(faults).filter(([, only]) => only !== '') as [Fault, string][];
  it.each(wrong)('sees %s', async (fault, only) => {
    const { failures } = await checkBackend(queued(fault), { only, runs: 0.1 });
    expect(failures.length).toBeGreaterThan(0);
    for (const { name, message } of failures) expect(message).toContain(`queued: ${name}: `);
  });

  it('says what was called, what came of it and what was expected', async () => {
    const { failures } = await checkBackend(queued('accumulate forgotten'), { only: 'any strides, storage' });
    expect(failures[0]?.message).toMatch(
      /^queued: matmul: any strides.*: out (f32|i32) \[.*\] strides \[.*\] offset \d+ in \d+: at \[.*\] got -?\d+, expected -?\d+\n {2}for {6}\{.*"accumulate":true.*\}\n {2}replay {3}await checkBackend\(backend, \{ only: "matmul: .*", seed: 1, path: '[\d:]+' \}\);$/,
    );
  });
});
