/** Proves an adapter on its own model: every law that has to hold whatever the model is. */
import { BaxError } from '@bax/core';
import type { LoraModel, LoraPlan, MergedLayer, Module } from '@bax/nn';
import { lawError } from '../errors.ts';
import { assertPassed, type Check, type CheckOptions, checkRunOptions, forAll, type Report, type RunOptions, runChecks } from '../run.ts'; // prettier-ignore
import { askOf, type Asked, cases, drawsIds, firstCase } from './asked.ts';
import { hasF64, withFactors } from './factors.ts';
import { type AdapterLaw, adapterLaws, type Subject, withDora } from './laws.ts';
import { assertOutputs, assertWeights, type OutputProof } from './merged.ts';

export interface LoraCheckOptions extends CheckOptions {
  /** What the adapter was meant to be: its targets, ranks and α are compared with it. */
  readonly plan?: LoraPlan;
  /** Merges tied weights too, which then become weights of their own. Default false: such a merge is refused. */
  readonly untie?: boolean;
}

export interface LoraReport extends Report {
  /** Adapted layers that change nothing, since their B A is zero: not trained yet, or for ever dead. */
  readonly dead: readonly string[];
  /** The outputs of the merged model, where they came nearest to their bound. */
  readonly outputs: OutputProof | undefined;
}

export interface Drawn {
  /** Token ids, where nothing else is asked. */
  readonly ids: boolean;
  /** Also with the factors moved at random. */
  readonly moves: boolean;
}

/** Tries a law on the adapter as it is, and on some random cases. @throws CheckError with the smallest on which it does not hold. */
export const tryLaw = async <M extends Module>(
  law: Pick<AdapterLaw, 'cases' | 'holds'>,
  subject: Subject<M>,
  { ids, moves }: Drawn,
  options: RunOptions,
): Promise<void> => {
  const { base } = subject.lora;
  const random = ids || moves ? law.cases : 0;
  const drawn = { arbitrary: cases(base, { moves, ids }), cases: random, first: [firstCase(base, ids)] };
  await forAll(drawn, options, async (at) =>
    withFactors(subject.lora, at.factors, async () => law.holds(subject, at)),
  );
};

function subjectOf<M extends Module>(
  by: string,
  lora: LoraModel<M>,
  asked: Asked<M> | undefined,
  options: Pick<LoraCheckOptions, 'plan' | 'untie'>,
): Subject<M> {
  if (lora.active.size === 0)
    throw new BaxError(`${by}: no adapter is active, so there is nothing to check; call activate() first`);
  const { plan, untie = false } = options;
  return { lora, ask: askOf(by, lora, asked), untie, plan, found: { dead: new Set() } };
}

/** Runs `use` with the adapter enabled, and leaves it as it was. */
async function whileEnabled<T>(lora: LoraModel<Module>, use: () => Promise<T>): Promise<T> {
  const { enabled } = lora;
  lora.enable();
  try {
    return await use();
  } finally {
    if (!enabled) lora.disable();
  }
}

/**
 * Proves an adapter on its model: all its numbers are finite; disabled it is the base, bit for bit; the gradients of A and B
 * are central differences, and nothing frozen has one; merged is unmerged; each adapted layer acts, or is named as dead;
 * saved and loaded it has its bits; ranks and counts are those of its configuration; and no bit of the base changes by any of
 * it. `asked` is an input of the model's forward, several, or a function of the model; without it a language model is asked
 * random tokens. Each law is tried on the adapter as it is, and with its factors moved at random: they are moved in place, and
 * bit for bit as before when it returns. A law that cannot be tried since another does not hold is named as such.
 * @throws CheckError if a law does not hold, BaxError if there is nothing to check.
 */
export async function checkLora<M extends Module>(
  lora: LoraModel<M>,
  asked?: Asked<M>,
  given: LoraCheckOptions = {},
): Promise<LoraReport> {
  const { plan, untie, ...options } = given;
  const subject = subjectOf('checkLora', lora, asked, given);
  const ids = drawsIds(lora, asked);
  const again = `await checkLora(lora, ${asked === undefined ? 'undefined' : 'asked'}, { ${untie ? 'untie: true, ' : ''}${plan ? 'plan, ' : ''}`;
  const checks = adapterLaws.map((law): Check<Subject<M>> => ({
    name: law.name,
    async run(one, runOptions = {}) {
      try {
        await tryLaw(law, one, { ids, moves: true }, runOptions);
      } catch (error) {
        throw lawError({ who: 'checkLora', law: law.name, again }, error);
      }
    },
  }));
  return whileEnabled(lora, async () => {
    const report = assertPassed(await runChecks('checkLora', checks, subject, options, leftOut(lora)));
    return { ...report, dead: [...subject.found.dead], outputs: subject.found.outputs };
  });
}

const leftOut = (lora: LoraModel<Module>): string[] => [
  ...(withDora(lora).size > 0 ? ['P2 of A and B with DoRA: it takes the norm for a constant, so that their gradients are no differences (P47)'] : []), // prettier-ignore
  ...(hasF64(lora)
    ? []
    : ['f64: the backend has none, so that gradients and merging are held to the rules of f32']),
];

/** What `verifyMerge` found. */
export interface MergeProof {
  readonly layers: readonly MergedLayer[];
  /** Where the outputs came nearest to their bound; undefined if nothing could be asked. */
  readonly outputs: OutputProof | undefined;
  /** On how many inputs the outputs were compared. */
  readonly cases: number;
  toString(): string;
}

/**
 * Proves that merging an adapter is exact: each merged weight is W + s B A within the bound of its roundings (P33), and the
 * outputs of the merged model are those of the unmerged one within what f32 costs anyway (P34). `asked` is as in `checkLora`;
 * without it a language model is asked random tokens, and of another model the weights alone are proved.
 * @throws CheckError with the layer or the input where it is not so, BaxError if the adapter cannot be merged.
 */
export async function verifyMerge<M extends Module>(
  lora: LoraModel<M>,
  asked?: Asked<M>,
  { untie = false, ...options }: RunOptions & { readonly untie?: boolean } = {},
): Promise<MergeProof> {
  checkRunOptions('verifyMerge', options);
  const merged = await lora.merge({ untie });
  try {
    const layers = assertWeights(merged);
    const ids = drawsIds(lora, asked);
    let outputs: OutputProof | undefined;
    let tried = 0;
    if (asked !== undefined || ids) {
      const ask = askOf('verifyMerge', lora, asked);
      const drawn = { arbitrary: cases(lora.base, { moves: false, ids }), cases: ids ? 4 : 0, first: [firstCase(lora.base, ids)] }; // prettier-ignore
      await forAll(drawn, { ...options, tried: (n) => void (tried = n) }, async (at) => {
        const proof = await assertOutputs(lora, merged.model, ask, at);
        if (!outputs || proof.error * outputs.bound > outputs.error * proof.bound) outputs = proof;
      });
    }
    return { layers, outputs, cases: tried, toString: () => show(merged.report.toString(), outputs, tried) };
  } catch (error) {
    const again = `await verifyMerge(lora, ${asked === undefined ? 'undefined' : 'asked'}, { ${untie ? 'untie: true, ' : ''}`;
    const law = 'P33, P34: the merged model is the unmerged one';
    throw lawError({ who: 'verifyMerge', law, again, alone: true }, error);
  } finally {
    merged.dispose();
  }
}

const show = (weights: string, outputs: OutputProof | undefined, tried: number): string =>
  outputs
    ? `${weights}; the outputs on ${tried} input${tried === 1 ? '' : 's'} are within ${((100 * outputs.error) / (outputs.bound || 1)).toFixed(0)} % of their bound (${outputs.rule})`
    : `${weights}; no input was given, so that no outputs were compared`;
