/** The main job with its defaults, as `npm start` runs it: does LoRA teach the base Moby-Dick? */
import { afterAll, describe, expect, it } from 'vitest';
import { node, scratch, start } from './support.ts';

const tmp = scratch();
afterAll(() => tmp.remove());

describe('npm start', () => {
  it.each([
    ['all linear layers', [], 1 / 3],
    ['query and value alone, half of the steps', ['--targets', 'q,v', '--steps', '60'], 1 / 6],
  ] as const)(
    '%s: perplexity on the held-out tenth falls by enough',
    async (name, options, least) => {
      const out = `${tmp.path}/${name.replaceAll(' ', '-')}`;
      const { code, stdout } = await start(node('examples/finetune/main.ts', '--out', out, ...options)).ended;
      expect(code).toBe(0);
      const [, before, after] = /^ {4}Moby-Dick +([\d.]+) → ([\d.]+) /m.exec(stdout)!.map(Number);
      expect(after).toBeLessThan((1 - least) * before);
      expect(stdout).toContain("computes the same, at the base's cost: it holds.");
    },
    300_000,
  );
});
