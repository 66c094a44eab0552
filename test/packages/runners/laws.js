// What a user's tests prove with @bax/check, whatever runs them: names and async functions that throw a CheckError.
import { assertPassed, checkBackend, checkLora, checkLoraOn, checkOp, gradcheck, tensors, verifyMerge } from '@bax/check'; // prettier-ignore
import { detach, key, keep, mul, randn, setBackend, sum, tanh } from '@bax/core';
import { cpu } from '@bax/cpu';
import { attachLora, Linear, Module, planLora } from '@bax/nn';
import fc from 'fast-check';

const backend = cpu();
setBackend(backend);

class Net extends Module {
  constructor() {
    super();
    this.first = new Linear(keep(randn([6, 4], { key: 1 })));
    this.second = new Linear(keep(randn([3, 6], { key: 2 })));
  }
  forward(x) {
    return this.second.forward(tanh(this.first.forward(x)));
  }
}
const adapter = async () => {
  const model = new Net();
  return attachLora(model, planLora(model, { r: 2 }), { key: key(1) });
};
const x = randn([5, 4], { key: 3 });
const domain = (draw) => [{ shape: draw.shape() }];
const cube = (t) => mul(t, mul(t, t));

const right = [
  ['a gradient', async () => void (await gradcheck(() => sum(tanh(x)), { x }))],
  ['a function', async () => void (await checkOp(cube, { domain, runs: 0.3 }))],
  ['an adapter', async () => void (await checkLora(await adapter(), x, { runs: 0.5 }))],
  ['a merge', async () => void (await verifyMerge(await adapter(), x))],
  ['a backend', async () => void assertPassed(await checkBackend(backend, { only: 'reduce', runs: 0.1 }))],
  ['a backend under LoRA', async () => void assertPassed(await checkLoraOn(backend, { only: 'P57', runs: 0.2 }))], // prettier-ignore
  ['tensors', async () => fc.assert(fc.asyncProperty(tensors({ mode: 'int', rank: [1, 2] }), async (t) => (await t.data()).length === t.size))], // prettier-ignore
];

/** A gradient that is wrong: its test must fail, with the law, the smallest call and the line that replays it. */
const half = async () => void (await checkOp((t) => mul(t, detach(t)), { domain, name: 'half', runs: 0.3 }));

export const laws = process.env.BROKEN ? [right[0], ['what is wrong', half]] : right;
