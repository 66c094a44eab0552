import { type Backend, createGpt2, crossEntropy, type Gpt2, gpt2Config, key, type Tensor } from 'bax';
import { softcap } from './softcap.ts';

/** A GPT-2 of toy size. A real project loads its own: `loadGpt2(folder)`. */
export const newModel = (backend: Backend): Gpt2 =>
  createGpt2(
    gpt2Config({
      n_layer: 2, n_embd: 16, n_head: 2, n_positions: 16, vocab_size: 32, bos_token_id: null, eos_token_id: null,
      resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0, initializer_range: 0.2,
    }),
    { key: key(1), backend },
  ); // prettier-ignore

/** What our program asks of the model: its logits, capped. */
export const logits = (model: Gpt2, ids: Tensor): Tensor => softcap(model.forward(ids), 20);

export const loss = (model: Gpt2, ids: Tensor, targets: Tensor): Tensor =>
  crossEntropy(logits(model, ids), targets);
