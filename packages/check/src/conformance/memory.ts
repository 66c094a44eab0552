import { bytesOf, expr, hostArray, type MemoryReport, type Storage } from '@bax/core';
import { CheckError } from '../errors.ts';
import type { Check } from '../run.ts';
import { check, type Lab, set } from './lab.ts';
import { ints, same } from './numbers.ts';
import { EDGES, plain } from './strided.ts';

const TYPES: readonly Storage[] = ['f32', 'f64', 'i32', 'f16', 'bf16', 'u8', 'u32'];

function demand(what: string, holds: boolean, report: MemoryReport): void {
  if (!holds) throw new CheckError(`${what}: ${JSON.stringify(report)}`);
}

function demandSame(what: string, got: ArrayLike<number>, expected: ArrayLike<number>): void {
  const i = Array.from({ length: Math.max(got.length, expected.length) }, (_, j) => j).find(
    (j) => !same(got[j], expected[j]),
  );
  if (i !== undefined || got.length !== expected.length)
    throw new CheckError(`${what}: got ${got[i!]} at ${i} of ${got.length}, expected ${expected[i!]}`);
}

/** A chain of calls of which each needs the one before. */
function enqueue({ backend }: Lab, views: Parameters<Lab['backend']['map']>[1]): void {
  const double = expr.scalarFn('f32', 1, 0, [expr.mul(expr.input(0), 2)]);
  for (let i = 1; i < views.length; i++) backend.map(double, [views[i - 1]], [views[i]], []);
}

export const memoryChecks: readonly Check[] = [
  check('memory: counts buffers exactly and bytes at least', async (lab) => {
    const { backend } = lab;
    for (const type of lab.having(...TYPES)) {
      for (const length of [0, 1, 3, 10, 1000, 123_457]) {
        const before = backend.memory();
        const [a, b] = [backend.alloc(length, type), backend.alloc(1, type)];
        const during = backend.memory();
        const bytes = (length + 1) * bytesOf(type);
        demand(`two buffers more, of ${length} and 1 ${type}`, during.buffers === before.buffers + 2, during);
        demand(
          `at least ${bytes} bytes more than ${before.live}`,
          during.live >= before.live + bytes,
          during,
        );
        demand(
          'a peak of at least what is live, and of before',
          during.peak >= Math.max(during.live, before.peak),
          during,
        );
        backend.free(a);
        const between = backend.memory();
        demand(
          'one buffer less',
          between.buffers === before.buffers + 1 && between.live <= during.live,
          between,
        );
        backend.free(b);
        const after = backend.memory();
        demand(`as much live as before, ${before.live}`, after.live === before.live, after);
        demand(`as many buffers as before, ${before.buffers}`, after.buffers === before.buffers, after);
        demand('a peak that stays', after.peak === during.peak && after.pooled >= 0, after);
      }
    }
  }),

  check('memory: a length and a type as asked for', async (lab) => {
    for (const type of lab.having(...TYPES)) {
      for (const length of [0, 1, 7, 1000]) {
        const buffer = lab.backend.alloc(length, type);
        const data = await lab.backend.read(buffer);
        lab.backend.free(buffer);
        if (buffer.length !== length || buffer.type !== type)
          throw new CheckError(`asked for ${length} ${type}, got ${buffer.length} ${buffer.type}`);
        const kind = hostArray(type, 0)[Symbol.toStringTag];
        if (data.length !== length || data[Symbol.toStringTag] !== kind)
          throw new CheckError(
            `${length} ${type} were read as a ${data[Symbol.toStringTag]} of ${data.length}, not a ${kind}`,
          );
      }
    }
  }),

  check('memory: writes and reads every type and size at any place', async (lab) => {
    for (const type of lab.having(...TYPES)) {
      await lab.forEach(EDGES, async (n) => {
        const x = lab.raw('x', plain([n]), type, (i) => (i * 7) % 251, () => 0); // prettier-ignore
        await lab.expect(x);
        const at = n >> 1;
        const part = hostArray(type, n - at).fill(5);
        lab.backend.write(x.view.buffer, part, at);
        part.fill(9);
        for (let i = at; i < n; i++) set(x, i, 5);
        await lab.expect(x);
        const [copy, end] = [
          await lab.backend.read(x.view.buffer, at),
          await lab.backend.read(x.view.buffer, at, 1),
        ];
        lab.backend.write(x.view.buffer, hostArray(type, n));
        demandSame(
          `a copy of ${n - at} ${type}, after the buffer was written again`,
          copy,
          x.data.subarray(at),
        );
        demandSame(`one ${type} at ${at} of ${n}`, end, [5]);
        x.data.fill(0);
        await lab.expect(x);
      });
    }
  }),

  check('memory: keeps every bit of what is written, NaN and −0 too', async (lab) => {
    const bits = Uint32Array.of(0x7fc00001, 0x80000000, 0xffc12345, 0x00000001, 0x7f800000, 0xff800000);
    const buffer = lab.backend.alloc(bits.length, 'f32');
    lab.backend.write(buffer, new Float32Array(bits.buffer));
    const data = await lab.backend.read(buffer);
    lab.backend.free(buffer);
    demandSame('the bits of f32', new Uint32Array(data.buffer, data.byteOffset, data.length), bits);
  }),

  check('memory: a buffer may be freed while queued calls use it', async (lab) => {
    const { backend } = lab;
    for (const n of [5, 1000, 30_000]) {
      const x = lab.input('x', plain([n]), 'f32', ints(1));
      const links = Array.from({ length: 8 }, () => backend.alloc(n, 'f32'));
      const view = (buffer: (typeof links)[number]): (typeof x)['view'] => ({ ...x.view, buffer });
      const out = lab.output('out', plain([n]), 'f32');
      enqueue(lab, [x.view, ...links.map(view), out.view]);
      links.forEach((buffer) => backend.free(buffer));
      // Whoever gets that memory now must not disturb what was enqueued before.
      for (let i = 0; i < 8; i++) lab.input('y', plain([n]), 'f32', () => 3);
      out.data.forEach((_, i) => set(out, i, x.data[i] * 2 ** 9));
      await lab.expect(out, x);
      lab.freeAll();
    }
  }),

  check('memory: writes, calls and reads take effect in their order', async (lab) => {
    const { backend } = lab;
    const n = 1000;
    const [x, y] = [lab.input('x', plain([n]), 'f32', () => 1), lab.output('y', plain([n]), 'f32')];
    const seen: [Promise<ArrayLike<number>>, number][] = [];
    for (let i = 1; i <= 20; i++) {
      enqueue(lab, [x.view, y.view]);
      backend.write(x.view.buffer, new Float32Array(n).fill(i));
      seen.push([backend.read(y.view.buffer), 2 * Math.max(1, i - 1)], [backend.read(x.view.buffer), i]);
    }
    for (const [read, value] of seen)
      demandSame('one of many reads', await read, new Float32Array(n).fill(value));
  }),

  check('memory: no two live buffers share memory', async (lab) => {
    const blocks = [1, 3, 16, 17, 64, 100, 1, 16, 5000, 3].map((n, i) =>
      lab.input(`x${i}`, plain([n]), 'i32', ints(i, 999)),
    );
    await lab.expect(...blocks);
    for (const length of [10, 17, 5000]) lab.input('y', plain([length]), 'f32', () => 1);
    await lab.expect(...blocks);
  }),

  check('memory: peek, where there is one, shows what read gives', async (lab) => {
    const x = lab.input('x', plain([33]), 'f32', ints(1));
    const y = lab.output('y', plain([33]), 'f32');
    enqueue(lab, [x.view, y.view]);
    const shown = lab.backend.peek?.(y.view.buffer)?.slice();
    if (shown) demandSame('peek', shown, await lab.backend.read(y.view.buffer));
  }),
];
