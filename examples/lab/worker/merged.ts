/** The merged model beside the one with its adapter: what each gives, and what each asks of the device. */
import {
  BaxError,
  compareMerged,
  noGrad,
  scope,
  tensor,
  transform,
  type Gpt2,
  type Merged,
  type Tensor,
} from 'bax';
import type { Handlers } from '../../app/calls.ts';
import { Hollow } from './hollow.ts';
import { adapted, goesWithRun } from './learners.ts';
import { model, promptIds } from './model.ts';
import { watched } from './ran.ts';
import type { Dispatched, Ran, Tasks } from './tasks.ts';

/** Of the adapter as it was. */
let merged: Merged<Gpt2> | undefined;
goesWithRun(() => {
  merged?.dispose();
  merged = undefined;
});
export function mergedModel(): Gpt2 {
  if (!merged) throw new BaxError('nothing is merged yet');
  return merged.model;
}

export const merging: Pick<Handlers<Tasks>, 'merge'> = {
  async merge({ prompt }) {
    const { base, tokenizer } = model();
    const words = promptIds(prompt);
    const lora = adapted();
    const next = await lora.merge();
    merged?.dispose();
    merged = next;
    const ids = tensor([words], { dtype: 'i32' });
    try {
      const [b, u, m] = [await seen(base, ids), await seen(lora.model, ids), await seen(merged.model, ids)];
      const hollow = await Hollow.open();
      const given = (one: Gpt2): readonly Dispatched[] => givenFor(one, ids, hollow);
      const { difference, bound } = await compareMerged(lora.model, merged.model, ids, lora.layers.size);
      return {
        unmerged: u.logits,
        merged: m.logits,
        vocabulary: Array.from(u.logits, (_, id) => tokenizer.decode([id])),
        difference,
        bound,
        layers: merged.report.layers,
        ran: { base: b.ran, unmerged: u.ran, merged: m.ran },
        given: { base: given(base), unmerged: given(lora.model), merged: given(merged.model) },
      };
    } finally {
      ids.dispose();
    }
  },
};

/** The logits after the last token, and every call that reached the device on the way. */
async function seen(of: Gpt2, ids: Tensor): Promise<{ logits: Float32Array; ran: Ran[] }> {
  const { result: logits, ran } = watched(() => scope(() => noGrad(() => of.forward(ids)))); // [1, T, vocabulary]
  try {
    const all = await logits.data();
    return { logits: Float32Array.from(all.slice(-logits.shape[2])), ran };
  } finally {
    logits.dispose();
  }
}

/** What a GPU is given for a forward pass of a model like this one. */
const givenFor = (of: Gpt2, ids: Tensor, hollow: Hollow): readonly Dispatched[] =>
  hollow.of((like) => {
    const twin = transform(of, { tensor: (t) => like([t])[0] });
    noGrad(() => twin.forward(like([ids])[0]));
  }).ran;
