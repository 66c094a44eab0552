/**
 * P31, P53: no op can tell what is held in f16 or bf16 from its wide copy, neither forward nor in the gradients of its other
 * inputs: bits where only sums and products are taken, within f32's rounding otherwise.
 */
import { assertSameBits, assertWithin } from '@bax/check';
import { alias, bytesOf, copy, type HalfFloat, narrowed, scope, type Tensor, tensor } from '@bax/core';
import { describe, expect, test } from 'vitest';
import { onEveryBackend } from '../../support/backends.ts';
import {
  everyOp,
  exactOps,
  forCalls,
  free,
  read,
  resultAndGrads,
  stridedInputs,
} from '../../support/calls.ts';

/** The same values in the same layout, held in `storage`: a new tensor. */
async function held(t: Tensor, storage: HalfFloat): Promise<Tensor> {
  const all = await t.backend.read(t.view.buffer);
  const block = tensor(narrowed(storage, all), { storage, backend: t.backend });
  const view = alias(block, { ...t.view, buffer: block.view.buffer });
  block.dispose();
  return view;
}

const largest = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((m, x) => Math.max(m, Math.abs(x)), 1);

onEveryBackend((on) => {
  describe.each(on.ops(everyOp))('%s', (name, op) => {
    test('of what is held narrow', async () => {
      let storage: HalfFloat = 'bf16';
      await forCalls(op, { mode: 'int', views: true, runs: on.runs(10) }, async (call) => {
        storage = storage === 'f16' ? 'bf16' : 'f16';
        const floats = call.args.flatMap(({ kind }, i) => (kind === 'float' ? [i] : []));
        // Each float alone, the others being trained; then all of them.
        for (const narrow of [...floats.map((i) => [i]), floats]) {
          if (narrow.length === 0) continue;
          const wide = stridedInputs(call, { dtype: 'f32', backend: on.backend });
          const frozen: Tensor[] = [];
          for (const i of narrow) frozen[i] = await held(wide[i]!, storage);
          const same = wide.map((x, i) => (frozen[i] ? copy(frozen[i]) : x));
          const given = wide.map((x, i) => frozen[i] ?? x);
          const results = async (inputs: readonly Tensor[]): Promise<ArrayLike<number>[]> => {
            inputs.forEach((x, i) => (x.requiresGrad = floats.includes(i) && !narrow.includes(i)));
            const trained = inputs.filter((x) => x.requiresGrad);
            const tensors = scope(() => {
              // what is frozen is asked for no gradient, like an index
              const own = { ...call, args: call.args.map((a, i) => (narrow.includes(i) ? { ...a, kind: 'i32' as const } : a)) }; // prettier-ignore
              const [y, ...grads] = resultAndGrads(own, inputs);
              return [y!.detach(), ...(trained.length > 0 ? grads : [])];
            });
            const values = await read(tensors);
            for (const t of tensors.slice(1)) expect(t.storage).toBe('f32');
            free(...tensors);
            return values;
          };
          const [ours, theirs] = [await results(given), await results(same)];
          expect(ours).toHaveLength(theirs.length);
          theirs.forEach((values, i) => {
            const what = `${name} with ${narrow.join()} in ${storage}, ${i === 0 ? 'result' : `gradient ${i - 1}`}`;
            if (exactOps.has(name)) assertSameBits(ours[i]!, values, what);
            else assertWithin(ours[i]!, values, 2 ** -17 * largest(values), what);
          });
          expect(frozen.every((t) => t.bytes === t.size * bytesOf(storage))).toBe(true);
          free(...wide, ...Object.values(frozen), ...same);
        }
      });
    });
  });
});
