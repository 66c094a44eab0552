/** An op cannot tell a view from its contiguous copy, nor what is held narrow from its wide copy, neither forward nor backward. */
import { alias, bytesOf, copy, type HalfFloat, narrowed, scope, type Tensor, tensor } from '@bax/core';
import type { ArgOptions, Call } from '../arbitraries.ts';
import { assertSameBits } from '../bits.ts';
import { assertWithin } from '../bounds.ts';
import { CheckError } from '../errors.ts';
import { f32On, free, hasF64, largest, type Make, partOf, plainInputs, read, reference, resultAndGrads, stridedInputs, widestOn } from './calls.ts'; // prettier-ignore
import { F32, F64, type OpLaw } from './law.ts';

/** The result and the gradients of all float inputs. */
export async function results(call: Call, make: Make, options: ArgOptions): Promise<ArrayLike<number>[]> {
  const tensors = scope(() => {
    const [y, ...grads] = resultAndGrads(call, make(call, { ...options, requiresGrad: true }));
    return [y!.detach(), ...grads];
  });
  const values = await read(tensors);
  free(...tensors);
  return values;
}

/** Whether f32 could hold the values without rounding and did: then every order of summation gives the same bits. */
const isExact = (narrow: ArrayLike<number>, wide: ArrayLike<number>): boolean =>
  Array.from(narrow).every((x, i) => x === wide[i] && Number.isInteger(x * 2 ** 8));

export const views: OpLaw = {
  name: 'views',
  says: 'a strided, sliced or expanded input gives what its contiguous copy gives, on small numbers: the same bits if the op is exact',
  cases: 40,
  draw: { mode: 'int', views: true },
  async holds(call, { backend, exact = false }) {
    const plain = await results(call, plainInputs, f32On(backend));
    const strided = await results(call, stridedInputs, f32On(backend));
    const inF64 = await results(call, plainInputs, { dtype: 'f64', backend: reference() });
    plain.forEach((values, i) => {
      const what = `${partOf(call.op.name, i)}, of views`;
      if (exact && isExact(values, inF64[i]!)) assertSameBits(strided[i]!, values, what);
      else assertWithin(strided[i]!, values, 2 ** -18 * largest(values), what);
    });
  },
};

export const realViews: OpLaw = {
  name: 'views, real numbers',
  says: 'a strided, sliced or expanded input gives what its contiguous copy gives, within rounding',
  cases: 20,
  draw: { mode: 'real', views: true },
  async holds(call, { backend, tolerance = F32 }) {
    const plain = await results(call, plainInputs, widestOn(backend));
    const strided = await results(call, stridedInputs, widestOn(backend));
    const rounding = hasF64(backend) ? F64 : tolerance;
    plain.forEach((values, i) =>
      assertWithin(
        strided[i]!,
        values,
        rounding * largest(values, 0),
        `${partOf(call.op.name, i)}, of views`,
      ),
    );
  },
};

/** The same values in the same layout, held in `storage`: a new tensor. */
async function held(t: Tensor, storage: HalfFloat): Promise<Tensor> {
  const all = await t.backend.read(t.view.buffer);
  const block = tensor(narrowed(storage, all), { storage, backend: t.backend });
  const view = alias(block, { ...t.view, buffer: block.view.buffer });
  block.dispose();
  return view;
}

export const storage: OpLaw = {
  name: 'storage',
  says: 'what is held in f16 or bf16 computes as its wide copy does, and so do the gradients of the other inputs',
  cases: 6,
  draw: { mode: 'int', views: true },
  async holds(call, { backend, exact = false, tolerance = F32 }) {
    const floats = call.args.flatMap(({ kind }, i) => (kind === 'float' ? [i] : []));
    // Each float alone, the others being trained; then all of them.
    const choices = [...floats.map((i) => [i]), floats].filter((narrow) => narrow.length > 0);
    for (const type of ['f16', 'bf16'] as const)
      for (const narrow of choices) {
        const wide = stridedInputs(call, f32On(backend));
        const frozen: Tensor[] = [];
        for (const i of narrow) frozen[i] = await held(wide[i]!, type);
        const same = wide.map((x, i) => (frozen[i] ? copy(frozen[i]) : x));
        const given = wide.map((x, i) => frozen[i] ?? x);
        const [ours, theirs] = [await trained(call, given, narrow), await trained(call, same, narrow)];
        theirs.forEach((values, i) => {
          const what = `${partOf(call.op.name, i)}, with ${narrow.map((at) => `x${at}`).join(', ')} in ${type}`;
          if (exact) assertSameBits(ours[i]!, values, what);
          else assertWithin(ours[i]!, values, tolerance * largest(values), what);
        });
        for (const t of Object.values(frozen))
          if (t.bytes !== t.size * bytesOf(type)) throw new CheckError(`an input was widened where it lies`);
        free(...wide, ...Object.values(frozen), ...same);
      }
  },
};

/** The result, and the gradients of those floats that are not frozen. */
async function trained(
  call: Call,
  inputs: readonly Tensor[],
  frozen: readonly number[],
): Promise<ArrayLike<number>[]> {
  // what is frozen is asked for no gradient, like an index
  const args = call.args.map((a, i) => (frozen.includes(i) ? { ...a, kind: 'i32' as const } : a));
  inputs.forEach((x, i) => (x.requiresGrad = args[i]!.kind === 'float'));
  const some = args.some(({ kind }) => kind === 'float');
  const tensors = scope(() => {
    const [y, ...grads] = resultAndGrads({ ...call, args }, inputs);
    return [y!.detach(), ...(some ? grads : [])];
  });
  const values = await read(tensors);
  for (const t of tensors.slice(1))
    if (t.storage !== 'f32') throw new CheckError(`a gradient is held in ${t.storage}, not in f32`);
  free(...tensors);
  return values;
}
