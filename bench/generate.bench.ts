/** Generation, greedy, a sequence at a time: with the cache of keys and values, and computing all anew for each token. */
import { generate } from '@bax/nn';
import { batchOf, openGpt, SMALL, TINY } from './gpt.ts';
import { say, type Suite } from './options.ts';
import { engines, type Engine } from './ours.ts';
import { race, type Contender } from './rounds.ts';
import { digits, raceRows } from './table.ts';

export const run: Suite = async ({ rounds, quick }) => {
  const size = quick ? TINY : SMALL;
  const prompt = batchOf(size).ids.slice(0, size.context / 4);
  const news = size.context / 2;
  const name = `generate ${news} tokens after ${prompt.length}`;
  say(name);
  const first: number[] = []; // what our first engine wrote with its cache
  const contender = (engine: Engine, cache: boolean): Contender => ({
    name: `${engine.name}, ${cache ? 'cache' : 'no cache'}`,
    async open() {
      const model = openGpt(size, await engine.open());
      const tokens: number[] = [];
      const write = async (maxNewTokens: number): Promise<void> => {
        tokens.length = 0;
        for await (const token of generate(model, prompt, { maxNewTokens, cache, temperature: 0 }))
          tokens.push(token);
      };
      await write(4);
      return {
        async run() {
          const start = performance.now();
          await write(news);
          const ms = performance.now() - start;
          if (first.length === 0) first.push(...tokens);
          return ms;
        },
        note: () => (tokens.join() === first.join() ? 'same tokens' : 'OTHER TOKENS'),
        close: () => model.dispose(),
      };
    },
  });
  const contenders = engines.flatMap((engine) => [contender(engine, true), contender(engine, false)]);
  const ours = engines.map((engine) => `${engine.name}, cache`);
  return raceRows(name, await race(contenders, rounds), ours, {
    unit: 'tok/s',
    of: (ms) => (1000 * news) / ms,
    also: (ms) => `${digits(ms / news)} ms a token`,
  });
};
