import { setBackend, tensor } from '@bax/core';
import { cpu } from '@bax/cpu';
import { activationOf, Embedding, LayerNorm, Linear, MLP, RMSNorm } from '@bax/nn';
import { expect, it, test } from 'vitest';
import { failure } from '../files/support.ts';
import { expectClose } from '../support/numbers.ts';

setBackend(cpu());
const f64 = { dtype: 'f64' } as const;

const normal = (x: number): number =>
  x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))) * 0.5;
it.each<[string, (x: number) => number]>([
  ['gelu_new', normal],
  ['gelu_pytorch_tanh', normal],
  ['relu', (x) => Math.max(0, x)],
  ['silu', (x) => x / (1 + Math.exp(-x))],
  ['swish', (x) => x / (1 + Math.exp(-x))],
  ['tanh', Math.tanh],
])("'%s' means what Hugging Face means by it", async (name, f) => {
  const x = [-3, -1, -0.2, 0, 0.3, 1, 4];
  expectClose(await activationOf(name)(tensor(x, f64)).data(), x.map(f), 1e-13);
});

test("'gelu' is the exact one, with erf: Φ(1) = 0.841344746…", async () => {
  expectClose(
    await activationOf('gelu')(tensor([1, -1], f64)).data(),
    [0.8413447460685429, -0.15865525393145707],
    1e-7,
  );
  expect(await failure(() => activationOf('erf'))).toMatch(/^activation 'erf' is not one of gelu_new, /);
});

test('MLP: the second layer of the activation of the first', async () => {
  const mlp = new MLP(
    new Linear(tensor([[1], [-1]], f64)),
    new Linear(tensor([[1, 10]], f64), tensor([100], f64)),
    'relu',
  );
  expectClose(await mlp.forward(tensor([[2], [-3]], f64)).data(), [102, 130], 1e-15);
});

test('the other layers pass on what they were given: ε, weight, bias', async () => {
  const x = tensor([[1, 3]], f64); // mean 2, variance 1, mean square 5
  const [g, b] = [tensor([2, 3], f64), tensor([10, 20], f64)];
  expectClose(await new LayerNorm(g, b, 3).forward(x).data(), [10 - 1, 20 + 1.5], 1e-14);
  expectClose(
    await new LayerNorm(g, b).forward(x).data(),
    [10 - 2 / Math.sqrt(1 + 1e-5), 20 + 3 / Math.sqrt(1 + 1e-5)],
    1e-14,
  );
  expectClose(await new RMSNorm(g, 4).forward(x).data(), [2 / 3, 3], 1e-14);
  const table = new Embedding(tensor([[1, 2], [3, 4]], f64)); // prettier-ignore
  expectClose(await table.forward(tensor([[1, 1, 0]], { dtype: 'i32' })).data(), [3, 4, 3, 4, 1, 2], 0);
});
