/** Values and gradients of single ops as PyTorch computes them in f64: test/reference/ops.py made the files. */
import { assertWithin } from '@bax/check';
import * as bax from '@bax/core';
import { type Backend, grad, isFloat, type Tensor, tensor } from '@bax/core';
import { describe, expect, test } from 'vitest';
import { backendCases, onEveryBackend } from '../../support/backends.ts';
import { goldenFile, goldenJson } from '../../support/golden.ts';

/** As each case has what its op reads, no case has all of them. */
interface Attrs {
  readonly approximate: string;
  readonly exponent: number;
  readonly axis: number;
  readonly correction: number;
  readonly keepdims: boolean;
  readonly eps: number;
  readonly reduction: string;
  readonly ignore_index: number;
  readonly label_smoothing?: number;
  readonly causal: boolean;
  readonly scale?: number;
}
interface Case {
  readonly name: string;
  readonly op: string;
  readonly attrs: Attrs;
  readonly inputs: Readonly<Record<string, string>>;
  readonly output: string;
  readonly cotangent: string;
  readonly grads: Readonly<Record<string, string | null>>;
}

const file = await goldenFile('ops.safetensors');
const { cases } = (await goldenJson('ops.json')) as { cases: Case[] };

/** Floats as `dtype` holds them, anything else as i32. */
async function load(name: string, dtype: 'f32' | 'f64', backend: Backend): Promise<Tensor> {
  const { data, shape } = await file.read(name);
  if (file.tensors.get(name)!.dtype !== 'F64')
    return tensor(Int32Array.from(data as Uint8Array, Number), { shape, dtype: 'i32', backend });
  const values = data as Float64Array;
  return tensor(dtype === 'f64' ? values : Float32Array.from(values), { shape, dtype, backend });
}

type Inputs = Readonly<Record<string, Tensor>>;
const { mul, sub, add, div, neg, sum, cast, ne } = bax;
/** PyTorch's names in ours. What has no op of its own is written as a user would. */
const programs: Record<string, (x: Inputs, attrs: Attrs) => Tensor> = {
  gelu: ({ x }, { approximate }) => (approximate === 'tanh' ? bax.gelu : bax.geluExact)(x),
  silu: ({ x }) => bax.silu(x),
  sigmoid: ({ x }) => bax.sigmoid(x),
  tanh: ({ x }) => bax.tanh(x),
  erf: ({ x }) => bax.erf(x),
  relu: ({ x }) => bax.relu(x),
  abs: ({ x }) => bax.abs(x),
  exp: ({ x }) => bax.exp(x),
  log: ({ x }) => bax.log(x),
  sqrt: ({ x }) => bax.sqrt(x),
  rsqrt: ({ x }) => bax.rsqrt(x),
  log1p: ({ x }) => bax.log(add(x, 1)),
  expm1: ({ x }) => sub(bax.exp(x), 1),
  maximum: ({ a, b }) => bax.maximum(a, b),
  minimum: ({ a, b }) => bax.minimum(a, b),
  where: ({ condition, a, b }) => bax.where(condition, a, b),
  pow: ({ a, b, x }, { exponent }) => (x ? bax.pow(x, exponent) : bax.pow(a, b)),
  add: ({ a, b }) => add(a, b),
  sub: ({ a, b }) => sub(a, b),
  mul: ({ a, b }) => mul(a, b),
  div: ({ a, b }) => div(a, b),
  softmax: ({ x }, { axis }) => bax.softmax(x, axis),
  log_softmax: ({ x }, { axis }) => bax.logSoftmax(x, axis),
  logsumexp: ({ x }, { axis }) => bax.logSumExp(x, axis),
  var: ({ x }, { axis, correction }) => bax.variance(x, axis, { correction }),
  mean: ({ x }, { axis }) => bax.mean(x, axis),
  sum: ({ x }, { axis, keepdims }) => sum(x, axis, { keepDims: keepdims }),
  max: ({ x }, { axis }) => bax.max(x, axis),
  layer_norm: ({ x, weight, bias }, { eps }) => {
    const like = { dtype: x.dtype, backend: x.backend };
    const n = [x.shape.at(-1)!];
    return bax.layerNorm(x, weight ?? bax.ones(n, like), bias ?? bax.zeros(n, like), eps);
  },
  rms_norm: ({ x, weight }, { eps }) => bax.rmsNorm(x, weight, eps),
  cross_entropy({ logits, targets }, { reduction, ignore_index: ignoreIndex, label_smoothing: smoothing }) {
    const counts = cast(ne(targets, ignoreIndex), logits.dtype);
    const nll = bax.crossEntropy(logits, targets, { ignoreIndex });
    if (reduction === 'sum') return mul(nll, sum(counts));
    if (!smoothing) return nll;
    const uniform = div(sum(mul(neg(bax.mean(bax.logSoftmax(logits), -1)), counts)), sum(counts));
    return add(mul(nll, 1 - smoothing), mul(uniform, smoothing));
  },
  attention: ({ q, k, v, mask, bias }, { causal, scale }) =>
    bax.attention(q, k, v, {
      causal,
      ...(scale !== undefined && { scale }),
      ...(mask && { mask }),
      ...(bias && { bias }),
    }),
  embedding: ({ weight, ids }) => bax.gather(weight, ids),
  matmul: ({ a, b }) => bax.matmul(a, b),
  linear: ({ x, weight, bias }) => bax.linear(x, weight, bias),
};

test('there are 76 cases', () => expect(cases).toHaveLength(76));

const twoBackends = backendCases.filter(({ name }) => ['cpu', 'wasm'].includes(name));
onEveryBackend((on) => {
  describe.each(cases)('$name', ({ op, attrs, inputs, output, cotangent, grads }) => {
    test.each(['f64', 'f32'] as const)('the value and every gradient in %s', async (dtype) => {
      const x: Record<string, Tensor> = {};
      for (const [key, name] of Object.entries(inputs)) {
        x[key] = await load(name, dtype, on.backend);
        x[key].requiresGrad = isFloat(x[key].dtype);
      }
      const y = programs[op](x, attrs);
      const [want, g] = [await file.read(output), await load(cotangent, dtype, on.backend)];
      expect(y.shape).toEqual(want.shape);
      close(await y.data(), want.data as Float64Array, dtype, 'value');
      const smooth = Object.keys(x).filter((key) => x[key].requiresGrad);
      expect(smooth).toEqual(Object.keys(grads).filter((key) => grads[key] !== null));
      const found = grad(y, smooth.map((key) => x[key]), { cotangent: g }); // prettier-ignore
      for (const [i, key] of smooth.entries()) {
        const expected = await file.read(grads[key]!);
        expect(found[i].shape).toEqual(expected.shape);
        close(await found[i].data(), expected.data as Float64Array, dtype, `∂${key}`);
      }
    });
  });
}, twoBackends);

/**
 * In f64 a few roundings apart, relative to each number or to a hundredth of the largest. In f32, where the inputs are
 * rounded too, within 2^-17 of the largest.
 */
function close(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  dtype: 'f32' | 'f64',
  what: string,
): void {
  const size = Array.from(expected)
    .filter(Number.isFinite)
    .reduce((m, v) => Math.max(m, Math.abs(v)), 0);
  const f64 = (i: number): number => 1e-13 * Math.max(Math.abs(expected[i]), 1e-2 * size, 1e-2);
  assertWithin(actual, expected, dtype === 'f64' ? f64 : 2 ** -17 * Math.max(size, 1e-2), what);
}
