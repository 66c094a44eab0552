/** No op and no gradient changes what it reads; asking twice gives the same bits, with other work in flight too. */
import { backward, grad, mul, scope, sum, type Tensor, type TypedArray } from '@bax/core';
import type { Call } from '../arbitraries.ts';
import { assertSameBits } from '../bits.ts';
import { CheckError } from '../errors.ts';
import { cotangentOf, f32On, floatsOf, free, partOf, read, resultAndGrads, run, stridedInputs } from './calls.ts'; // prettier-ignore
import { isDiscrete, type OpLaw } from './law.ts';

/** All of the memory behind the inputs, the gaps of their views too. */
const memories = (inputs: readonly Tensor[]): Promise<TypedArray[]> =>
  Promise.all(inputs.map((x) => x.backend.read(x.view.buffer)));

async function leavesAlone(inputs: readonly Tensor[], f: () => Promise<void>): Promise<void> {
  const before = await memories(inputs);
  const versions = inputs.map((x) => x.hold.memory.version);
  await f();
  const after = await memories(inputs);
  inputs.forEach((x, i) => {
    const at = before[i]!.findIndex((value, j) => !Object.is(value, after[i]![j]));
    if (at >= 0)
      throw new CheckError(`the memory of input x${i} was changed at ${at}: it was ${before[i]![at]} and is ${after[i]![at]}`); // prettier-ignore
    if (x.hold.memory.version !== versions[i])
      throw new CheckError(`input x${i} was assigned to, though to the same numbers`);
  });
}

export const purity: OpLaw = {
  name: 'purity',
  says: 'no input is changed, and twenty runs give the same bits',
  cases: 10,
  draw: { mode: 'real', views: true },
  async holds(call, { backend }) {
    const inputs = stridedInputs(call, { ...f32On(backend), requiresGrad: true });
    await leavesAlone(inputs, async () => {
      const all = scope(() =>
        Array.from({ length: 20 }, () => resultAndGrads(call, inputs).map((t) => t.detach())),
      );
      const [first, ...others] = await Promise.all(all.map(read));
      for (const other of others)
        other.forEach((values, i) => assertSameBits(values, first[i]!, `${partOf(call.op.name, i)}, again`));
      free(...all.flat());
    });
    free(...inputs);
  },
};

/** grad and grad again over one tape, then backward and backward again. Nothing of a function that is discrete. */
const asked = (call: Call, inputs: readonly Tensor[], params: readonly Tensor[]): Tensor[][] =>
  scope(() => {
    const y = run(call, inputs);
    if (!y.tracked) return [];
    const loss = sum(mul(y, cotangentOf(y)));
    const options = { retain: true, allowUnused: true };
    const grads = [grad(loss, params, options), grad(loss, params, options)];
    backward(loss, { retain: true });
    backward(loss);
    return grads;
  });

export const twice: OpLaw = {
  name: 'grad twice',
  says: 'grad twice over one tape gives the same bits; backward twice adds up to double',
  cases: 8,
  draw: { mode: 'real' },
  leftOut: isDiscrete,
  async holds(call, { backend }) {
    const inputs = stridedInputs(call, { ...f32On(backend), requiresGrad: true });
    const params = Object.values(floatsOf(call, inputs));
    await leavesAlone(inputs, async () => {
      const grads = params.length > 0 ? asked(call, inputs, params) : [];
      const [first, second] = await Promise.all(grads.map(read));
      if (!first || !second) return;
      for (const [i, p] of params.entries()) {
        const doubled = Float32Array.from(first[i]!, (g) => 2 * g);
        assertSameBits(second[i]!, first[i]!, `the second gradient to float input ${i}`);
        assertSameBits(await p.grad!.data(), doubled, `what backward left in float input ${i}`);
      }
      free(...grads.flat());
    });
    free(...params.flatMap((p) => p.grad ?? []), ...inputs);
  },
};
