/** Words, whoever is asked for them. */
import { generate } from 'bax';
import type { Handlers } from '../../app/calls.ts';
import { modelOf } from './learners.ts';
import { mergedModel } from './merged.ts';
import { model, promptIds } from './model.ts';
import { blended } from './shelf.ts';
import type { Tasks } from './tasks.ts';

export const writing: Pick<Handlers<Tasks>, 'generate'> = {
  async generate({ voice, prompt, tokens, temperature, seed }, tell, signal) {
    const { tokenizer, base } = model();
    const ids = promptIds(prompt);
    const decoder = tokenizer.streamDecoder({ skipSpecialTokens: true });
    const maxNewTokens = Math.min(tokens, base.config.n_positions - ids.length);
    const speaker =
      typeof voice === 'object'
        ? blended(voice.weights)
        : voice === 'merged'
          ? mergedModel()
          : modelOf(voice);
    for await (const id of generate(speaker, ids, { maxNewTokens, temperature, topK: 40, seed, signal }))
      tell(decoder.push(id));
    tell(decoder.flush());
    return undefined;
  },
};
