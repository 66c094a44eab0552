import { BaxError } from '@bax/core';
import { gpt2Config } from '@bax/nn';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { goldenBytes } from '../support/golden.ts';
import { failure } from '../files/support.ts';
import { runs } from '../../support/runs.ts';

const golden = JSON.parse(new TextDecoder().decode(goldenBytes('gpt2/config.json'))) as Record<
  string,
  unknown
>;

test("the defaults are GPT-2 small's, as transformers has them", () => {
  expect(gpt2Config({})).toEqual({
    vocab_size: 50257, n_positions: 1024, n_embd: 768, n_layer: 12, n_head: 12, n_inner: null, activation_function: 'gelu_new',
    layer_norm_epsilon: 1e-5, initializer_range: 0.02, resid_pdrop: 0.1, embd_pdrop: 0.1, attn_pdrop: 0.1,
    tie_word_embeddings: true, bos_token_id: 50256, eos_token_id: 50256,
  }); // prettier-ignore
});

test('what transformers wrote is read, and what GPT-2 does not need is dropped', () => {
  const config = gpt2Config(golden);
  expect(config).toMatchObject({
    n_layer: 2,
    n_embd: 12,
    n_head: 3,
    vocab_size: 17,
    n_positions: 16,
    eos_token_id: 16,
    n_inner: null,
  });
  expect(Object.keys(config)).toEqual(Object.keys(gpt2Config({})));
  expect(gpt2Config({ ...config })).toEqual(config);
});

describe('a field that is not right is named', () => {
  it.each([
    [{ model_type: 'llama' }, `model_type is "llama"; this loader reads 'gpt2'`],
    [{ scale_attn_weights: false }, 'scale_attn_weights: false is not supported, only true'],
    [
      { scale_attn_by_inverse_layer_idx: true },
      'scale_attn_by_inverse_layer_idx: true is not supported, only false',
    ],
    [{ add_cross_attention: true }, 'add_cross_attention: true is not supported, only false'],
    [{ n_embd: 0 }, 'n_embd is 0, not a size from 1 to 2^24'],
    [{ n_layer: 1.5 }, 'n_layer is 1.5, not a size from 1 to 2^24'],
    [{ n_layer: 2 ** 24 + 1 }, 'n_layer is 16777217, not a size from 1 to 2^24'],
    [{ vocab_size: '17' }, 'vocab_size is "17", not a size from 1 to 2^24'],
    [{ n_positions: null }, 'n_positions is null, not a size from 1 to 2^24'],
    [{ n_inner: -1 }, 'n_inner is -1, not a size from 1 to 2^24'],
    [{ resid_pdrop: 1 }, 'resid_pdrop is 1, not a probability in [0, 1)'],
    [{ embd_pdrop: '0.1' }, 'embd_pdrop is "0.1", not a probability in [0, 1)'],
    [{ attn_pdrop: null }, 'attn_pdrop is null, not a probability in [0, 1)'],
    [{ layer_norm_epsilon: -1 }, 'layer_norm_epsilon is -1'],
    [{ layer_norm_epsilon: '1e-5' }, 'layer_norm_epsilon is "1e-5"'],
    [{ initializer_range: 10 }, 'initializer_range is 10'],
    [{ eos_token_id: 1.5 }, 'eos_token_id is 1.5, not a token'],
    [{ bos_token_id: 'a' }, 'bos_token_id is "a", not a token'],
    [{ tie_word_embeddings: 1 }, 'tie_word_embeddings is neither true nor false'],
    [{ n_embd: 10, n_head: 3 }, 'n_head (3) does not divide n_embd (10)'],
    [
      { activation_function: 'swiglu' },
      "activation 'swiglu' is not one of gelu_new, gelu_pytorch_tanh, gelu, relu, silu, swish, tanh",
    ],
    [
      { activation_function: 'constructor' },
      "activation 'constructor' is not one of gelu_new, gelu_pytorch_tanh, gelu, relu, silu, swish, tanh",
    ],
  ])('%j', async (change, why) => {
    expect(await failure(() => gpt2Config({ ...golden, ...change }, 'dir/config.json'))).toBe(
      `dir/config.json: ${why}`,
    );
  });
});

test('P60: whatever JSON stands in a field, the answer is a configuration or an error of ours', () => {
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom<unknown>(0, -0, 1, 2, 1e300, '', 'gelu', [], [1], {}, null, true),
  );
  const field = fc.oneof(fc.constantFrom(...Object.keys(golden)), fc.constantFrom('__proto__', 'toString'));
  const law = (name: string, x: unknown): void => {
    try {
      const config = gpt2Config({ ...golden, [name]: x });
      expect(gpt2Config({ ...config })).toEqual(config);
    } catch (error) {
      expect(error).toBeInstanceOf(BaxError);
    }
  };
  fc.assert(fc.property(field, value, law), runs(2000));
});
