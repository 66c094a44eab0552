/** A new adapter changes nothing. */
import { key, noGrad } from '@bax/core';
import { attachLora, linalg, type LoraInit, type Matrix, planLora } from '@bax/nn';
import fc from 'fast-check';
import { assertSameBits } from '../bits.ts';
import { CheckError } from '../errors.ts';
import type { Check } from '../run.ts';
import { tinyGpt2, tokens } from './gpt2.ts';
import { baseOf, instances, type Mode, put, run, targetsIn, weightOf } from './instance.ts';
import { law, lawOfEach } from './law.ts';

const inits: LoraInit[] = ['kaiming', 'gaussian'];
const modes: [Mode, string][] = [['int', 'whole numbers'], ['real', 'real numbers']]; // prettier-ignore

/** With zeros of both signs: there even the sign of a sum of nothing could show. */
const pierced = ({ rows, columns, data }: Matrix, holes: number): Matrix =>
  linalg.matrix(
    rows,
    columns,
    data.map((v, i) => (i % 5 < holes ? (i % 2 ? -0 : 0) : v)),
  );

export const initLaws: readonly Check[] = [
  ...modes.map(([mode, numbers]) =>
    law(
      `P1: a new adapter changes no bit of an output, nor of a merged weight, whatever x is; ${numbers}`,
      80,
      fc.tuple(instances(mode), fc.constantFrom(...inits), fc.nat(99), fc.constantFrom(0, 1, 5)),
      async (backend, [instance, init, seed, holes]) => {
        const base = baseOf({ ...instance, W: pierced(instance.W, holes) }, { backend });
        const x = put(pierced(instance.x, holes), { backend });
        const { r, alpha } = instance;
        const plan = planLora(base, { r, alpha, targets: targetsIn(instance), init });
        const lora = await attachLora(base, plan, { key: key(seed) });
        for (const [name, factor] of lora.parameters()) {
          const isZero = (await factor.data()).every((v) => v === 0);
          if (isZero !== name.endsWith('B'))
            throw new CheckError(`${name} is ${isZero ? '' : 'not '}zero; B begins at zero, A does not`);
        }
        const y = await run(base, x);
        assertSameBits(await run(lora.model, x), y, 'output');
        const { model: merged, report } = await lora.merge();
        assertSameBits(await weightOf(merged), await weightOf(base), 'merged weight');
        assertSameBits(await run(merged, x), y, 'output of the merged layer');
        assertSameBits([report.worst.error], [0], "the report's largest error");
      },
    ),
  ),

  lawOfEach(
    'P1: of the logits of a GPT-2',
    [['q', 'v'], ['c_attn', 'c_fc'], 'all-linear' as const, ['lm_head', 'k']],
    async (backend, targets) => {
      const model = tinyGpt2({ backend });
      const ids = tokens(backend, [2, 7]);
      const base = await noGrad(() => model.forward(ids)).data();
      for (const init of inits) {
        const plan = planLora(model, { r: 3, alpha: 5, targets, init });
        const lora = await attachLora(model, plan, { key: key(4) });
        assertSameBits(await noGrad(() => lora.model.forward(ids)).data(), base, `logits with ${init}`);
      }
    },
  ),
];
