/** Generation, greedy, a sequence at a time: with the cache of keys and values, and computing all anew for each token. */
import { fileURLToPath } from 'node:url';
import type { Backend } from '@bax/core';
import { generate, loadGpt2, type Gpt2 } from '@bax/nn';
import { openFolder } from '@bax/nn/node';
import { batchOf, openGpt, SMALL, TINY } from './gpt.ts';
import { say, type Suite } from './options.ts';
import { engines, wasmEngines, type Engine } from './ours.ts';
import { race, type Contender } from './rounds.ts';
import { digits, raceRows, type Row } from './table.ts';

const BASE = fileURLToPath(new URL('../examples/finetune/base', import.meta.url));

interface Task {
  readonly name: string;
  readonly open: (backend: Backend) => Gpt2 | Promise<Gpt2>;
  readonly prompt: Int32Array;
  readonly news: number;
}

export const run: Suite = async ({ rounds, quick }) => {
  const size = quick ? TINY : SMALL;
  const prompt = batchOf(size).ids.slice(0, size.context / 4);
  const news = size.context / 2;
  const base = async (backend: Backend): Promise<Gpt2> => loadGpt2(await openFolder(BASE), { backend });
  return [
    ...(await write(rounds, {
      name: `the small GPT`,
      open: (backend) => openGpt(size, backend),
      prompt,
      news,
    })),
    ...(await write(rounds, { name: `the example's base`, open: base, prompt, news })),
  ];
};

async function write(rounds: number, { open, prompt, news, ...task }: Task): Promise<Row[]> {
  const name = `generate ${news} tokens after ${prompt.length}, ${task.name}`;
  say(name);
  const first: number[] = []; // what our first engine wrote with its cache
  const contender = (engine: Engine, cache: boolean): Contender => ({
    name: `${engine.name}, ${cache ? 'cache' : 'no cache'}`,
    async open() {
      const backend = await engine.open();
      const model = await open(backend);
      const tokens: number[] = [];
      const write = async (maxNewTokens: number): Promise<void> => {
        tokens.length = 0;
        for await (const token of generate(model, prompt, {
          maxNewTokens,
          cache,
          temperature: 0,
          stopTokens: [],
        }))
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
        close: () => backend.close?.(),
      };
    },
  });
  const contenders = engines.flatMap((engine) => [contender(engine, true), contender(engine, false)]);
  const compared = (who: string): string[] =>
    who.endsWith('no cache')
      ? [who.replace('no cache', 'cache')]
      : wasmEngines.map((engine) => `${engine.name}, cache`);
  return raceRows(name, await race(contenders, rounds), compared, {
    unit: 'tok/s',
    of: (ms) => (1000 * news) / ms,
    also: (ms) => `${digits(ms / news)} ms a token`,
  });
}
