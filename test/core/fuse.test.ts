import {
  type Backend,
  type BufferRef,
  expr as e,
  fuse,
  offsetsOf,
  type ScalarFn,
  sizeOf,
  type View,
} from '@bax/core';
import { cpu } from '@bax/cpu';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runs } from '../support/runs.ts';

const N = 12;
const { add, constant, input, mul, scalar, select, lt, sub } = e;

/** The view's elements, each as a view. */
const elements = (v: View): View[] =>
  [...offsetsOf(v.shape, v.strides, v.offset)].map((offset) => ({ ...v, shape: [1], strides: [1], offset }));

/** A CPU that counts its maps and does them one element after the other, as no backend may mind. */
function counting(): { backend: Backend; maps: ScalarFn[] } {
  const base = cpu();
  const maps: ScalarFn[] = [];
  const backend: Backend = {
    ...base,
    map(fn, inputs, outputs, scalars) {
      maps.push(fn);
      const [from, to] = [inputs.map(elements), outputs.map(elements)];
      const at =
        (i: number): ((all: View[]) => View) =>
        (all) =>
          all[i];
      for (let i = 0; i < sizeOf(outputs[0].shape); i++)
        base.map(fn, from.map(at(i)), to.map(at(i)), scalars);
    },
  };
  return { backend, maps };
}

const whole = (buffer: BufferRef): View => ({ buffer, shape: [N], strides: [1], offset: 0 });
const ways: Record<string, (buffer: BufferRef) => View> = {
  whole,
  matrix: (buffer) => ({ buffer, shape: [3, 4], strides: [4, 1], offset: 0 }),
  transposed: (buffer) => ({ buffer, shape: [3, 4], strides: [1, 3], offset: 0 }),
  backwards: (buffer) => ({ buffer, shape: [N], strides: [-1], offset: N - 1 }),
  half: (buffer) => ({ buffer, shape: [N / 2], strides: [1], offset: 0 }),
  otherHalf: (buffer) => ({ buffer, shape: [N / 2], strides: [1], offset: N / 2 }),
  repeated: (buffer) => ({ buffer, shape: [N], strides: [0], offset: 5 }),
};
const shapeOf = (way: string): string => ways[way](cpu().alloc(N, 'f32')).shape.join();

/** What is done to some numbered buffers. */
type Step =
  | {
      readonly kind: 'map';
      readonly body: number;
      readonly inputs: [number, string][];
      readonly output: [number, string];
      readonly s: number;
    }
  | { readonly kind: 'free' | 'sum' | 'write' | 'read'; readonly buffer: number };

const bodies = [
  add(input(0), input(1)),
  mul(input(0), scalar(0)),
  select(lt(input(0), input(1)), input(1), sub(input(0), scalar(0))),
  mul(constant(0), 1), // a constant: zeros
  mul(input(0), input(1)),
];

const buffers = fc.integer({ min: 0, max: 2 });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc
        .record({
          shape: fc.constantFrom(...new Set(Object.keys(ways).map(shapeOf))),
          body: fc.nat(bodies.length - 1),
          buffers: fc.tuple(buffers, buffers, buffers),
          way: fc.tuple(fc.nat(9), fc.nat(9), fc.nat(9)),
          s: fc.integer({ min: -2, max: 2 }),
        })
        .map(({ shape, body, buffers: [a, b, o], way, s }): Step => {
          const fitting = Object.keys(ways).filter((w) => shapeOf(w) === shape);
          const pick = (i: number, list = fitting): string => list[i % list.length];
          const writable = fitting.filter((w) => w !== 'repeated');
          return { kind: 'map', body, inputs: [[a, pick(way[0])], [b, pick(way[1])]], output: [o, pick(way[2], writable)], s };
        }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('free', 'sum', 'write', 'read'), buffer: buffers }) as fc.Arbitrary<Step> },
  ),
  { minLength: 2, maxLength: 14 },
); // prettier-ignore

/** Does the steps; what was read on the way, and at the end. A freed buffer's number gets a new one. */
async function results(backend: Backend, program: readonly Step[]): Promise<number[][]> {
  const held = Array.from({ length: 3 }, (_, i) => fresh(backend, i));
  const seen: number[][] = [];
  for (const step of program) {
    if (step.kind === 'map') {
      const inputs = step.inputs.map(([i, way]) => ways[way](held[i]));
      const output = ways[step.output[1]](held[step.output[0]]);
      // A backend need not take an output that overlaps an input otherwise than element by element.
      const same = (v: View): boolean =>
        v.offset === output.offset && v.strides.join() === output.strides.join();
      if (inputs.some((v) => v.buffer === output.buffer && !same(v))) continue;
      backend.map(e.scalarFn('f32', 2, 1, [bodies[step.body]]), inputs, [output], [step.s]);
    } else if (step.kind === 'free') {
      backend.free(held[step.buffer]);
      held[step.buffer] = fresh(backend, step.buffer + 7);
    } else if (step.kind === 'write') backend.write(held[step.buffer], Float32Array.of(1, -1), 3);
    else if (step.kind === 'read') seen.push([...(await backend.read(held[step.buffer]))]);
    else {
      const out = backend.alloc(1, 'f32');
      backend.reduce('sum', whole(held[step.buffer]), { buffer: out, shape: [1], strides: [1], offset: 0 });
      seen.push([...(await backend.read(out))]);
      backend.free(out);
    }
  }
  for (const buffer of held) seen.push([...(await backend.read(buffer))]);
  return seen;
}

function fresh(backend: Backend, seed: number): BufferRef {
  const buffer = backend.alloc(N, 'f32');
  backend.write(buffer, Float32Array.from({ length: N }, (_, i) => (i === seed ? NaN : ((i * 7 + seed * 3) % 9) - 4)));
  return buffer;
} // prettier-ignore

describe('fuse', () => {
  it('gives the same bits as the maps one by one, whatever else happens between them', async () => {
    let fewer = 0;
    await fc.assert(
      fc.asyncProperty(steps, async (program) => {
        const [one, other] = [counting(), counting()];
        expect(await results(fuse(other.backend), program)).toEqual(await results(one.backend, program));
        expect(other.maps.length).toBeLessThanOrEqual(one.maps.length);
        if (other.maps.length < one.maps.length) fewer++;
      }),
      runs(1000),
    );
    expect(fewer).toBeGreaterThan(100);
  });

  const chainOf = (freed: boolean): { maps: ScalarFn[]; read: () => Promise<ArrayLike<number>> } => {
    const { backend, maps } = counting();
    const fused = fuse(backend);
    const [x, t, y] = [0, 1, 2].map((seed) => fresh(fused, seed + 20));
    const one = (body: e.Expr): ScalarFn => e.scalarFn('f32', 1, 1, [body]);
    fused.map(one(mul(input(0), scalar(0))), [whole(x)], [whole(t)], [3]);
    fused.map(one(add(input(0), scalar(0))), [whole(t)], [whole(y)], [5]);
    if (freed) fused.free(t);
    return { maps, read: async () => fused.read(y) };
  };

  it('makes one map of a chain, with the scalars of all', async () => {
    const { maps, read } = chainOf(false);
    expect(maps).toHaveLength(0); // held back
    const y = await read();
    expect(maps).toHaveLength(1);
    expect(maps[0].outputs.map((f) => e.show(f))).toEqual(['(x0 * s0)', '((x0 * s0) + s1)']);
    expect(y[0]).toBe((((20 * 3) % 9) - 4) * 3 + 5);
  });

  it('does not write what was freed before anyone else read it', async () => {
    const { maps, read } = chainOf(true);
    await read();
    expect(maps[0].outputs.map((f) => e.show(f))).toEqual(['((x0 * s0) + s1)']);
  });

  it('keeps 0 · NaN', async () => {
    const fused = fuse(cpu());
    const [x, zeros, y] = [fresh(fused, 0), fresh(fused, 20), fresh(fused, 20)];
    fused.map(e.scalarFn('f32', 0, 0, [constant(0)]), [], [whole(zeros)], []);
    fused.map(e.scalarFn('f32', 2, 0, [mul(input(0), input(1))]), [whole(zeros), whole(x)], [whole(y)], []);
    expect((await fused.read(y))[0]).toBe(NaN);
  });

  it('cuts a chain that grows too long', async () => {
    const { backend, maps } = counting();
    const fused = fuse(backend);
    const y = fresh(fused, 20);
    for (let i = 0; i < 300; i++)
      fused.map(e.scalarFn('f32', 1, 1, [mul(input(0), scalar(0))]), [whole(y)], [whole(y)], [1]);
    await fused.read(y);
    expect(maps.length).toBeGreaterThan(2);
    expect(maps.length).toBeLessThan(30);
  });
});
