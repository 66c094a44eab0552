/** Those who learn side by side from the same batches: LoRA, all of the model, and the base that does not. */
import {
  adamW, BaxError, castModule, compressAdapter, createAdapter, key, LoraModel, noGrad, perplexity, planLora, randomWindows, scope,
  sumAdapters, train, type Adapter, type Gpt2, type Optimizer, type TextBatch, type TrainOptions,
} from 'bax'; // prettier-ignore
import type { Handlers } from '../../app/calls.ts';
import { chosenText, model } from './model.ts';
import type { Begin, Begun, Evaluation, Learner, Tasks, Voice } from './tasks.ts';
import { inTurns } from './turns.ts';

/** The name of the adapter that learns. */
const LEARNING = 'learning';
/** Held-out windows that a perplexity is measured on. */
const WINDOWS = 8;

interface Trained {
  readonly model: Gpt2;
  optimizer: Optimizer;
}
interface Learners {
  begin: Begin;
  readonly lora: LoraModel<Gpt2>;
  readonly trained: { lora: Trained; full?: Trained };
  steps: number;
  /** LoRA's learning rate of each step that was made. */
  readonly rates: number[];
}
let learners: Learners | undefined;

function current(): Learners {
  if (!learners) throw new BaxError('nothing has begun to learn yet');
  return learners;
}
/** The model with the adapter that learns, or that was loaded. */
export const adapted = (): LoraModel<Gpt2> => current().lora;
export function modelOf(voice: Exclude<Voice, 'merged'>): Gpt2 {
  if (voice === 'base') return model().base;
  const found = current().trained[voice];
  if (!found) throw new BaxError('all of the model does not learn in this run');
  return found.model;
}

export const learning: Pick<Handlers<Tasks>, 'begin' | 'learn' | 'rerank'> = {
  async begin(begin) {
    const { base } = model();
    const adapter = await fresh(begin, begin.seed);
    const lora = new LoraModel(base);
    lora.add(LEARNING, adapter);
    lora.activate(LEARNING);
    forget();
    const full = begin.full ? wholly(base) : undefined;
    learners = {
      begin,
      lora,
      trained: {
        lora: { model: lora.model, optimizer: adamW(lora.parameters(), { weightDecay: 0 }) },
        ...(full && { full }),
      },
      steps: 0,
      rates: [],
    };
    return counts();
  },

  async learn({ steps, rates, evaluateEvery }, tell, signal) {
    const { begin, trained, steps: made } = current();
    const windows = windowsOf(begin);
    const losses: Partial<Record<Learner, number>> = {};
    const took: Partial<Record<Learner, number>> = {};
    const names = (['lora', 'full'] as const).filter((name) => trained[name]);
    if (made === 0) tell(await evaluated(names));

    /** All stop after the same step, or the batches would not be the same any more. */
    const stop = new AbortController();
    const allMade = async (): Promise<void> => {
      const step = current().steps++;
      losses.base = await lossOf(model().base, windows(step));
      tell({ step, loss: { ...losses }, took: { ...took } });
      if ((step + 1) % evaluateEvery === 0) tell(await evaluated(names));
      if (signal.aborted) stop.abort();
    };
    await inTurns(names, async (name, turn) => {
      const { optimizer } = trained[name]!;
      await turn.mine();
      let began = performance.now();
      const startStep = optimizer.stepCount; // another rank has begun with an optimiser of its own
      await train({
        ...lesson(trained[name]!),
        batches: (step) => windows(step - startStep + made),
        schedule: () => rates[name],
        steps: startStep + steps,
        startStep,
        signal: stop.signal,
        async onStep({ loss }) {
          if (name === 'lora') current().rates.push(rates.lora);
          losses[name] = loss;
          took[name] = (performance.now() - began) / 1000;
          if (name === names.at(-1)) await allMade();
          await turn.next();
          began = performance.now();
        },
      });
    });
    if (!signal.aborted && steps > 1 && current().steps % evaluateEvery !== 0) tell(await evaluated(names));
    return { steps: current().steps };
  },

  async rerank({ r }) {
    const { lora, begin, trained } = current();
    const old = lora.adapter(LEARNING);
    const next = r < begin.r ? (await compressAdapter(old, r)).adapter : await widened(old, begin, r);
    lora.swap(LEARNING, next).dispose('when its rank was changed');
    trained.lora.optimizer.dispose();
    trained.lora.optimizer = adamW(lora.parameters(), { weightDecay: 0 });
    current().begin = { ...begin, r };
    return counts();
  },
};

/** What another adapter must know to learn the same, and to be compared. */
export function course(): Pick<Learners, 'begin' | 'rates'> & {
  readonly adapted: { readonly lora: LoraModel<Gpt2>; readonly adapter: string };
  readonly full: Gpt2 | undefined;
} {
  const { begin, rates, lora, trained } = current();
  return { begin, rates, adapted: { lora, adapter: LEARNING }, full: trained.full?.model };
}

export function windowsOf({ batch, context, seed }: Begin): (step: number) => TextBatch {
  const { train: tokens } = chosenText();
  return (step) => randomWindows(tokens, step, { batch, context, seed });
}
/** What every learner does alike. */
export const lesson = ({ model: learner, optimizer }: Trained) =>
  ({
    loss: ({ ids, targets }, { key: random }) => learner.loss(ids, targets, { key: random }),
    optimizer,
    clip: 1,
    replay: true,
  }) satisfies Partial<TrainOptions<TextBatch>>;

const fresh = async ({ targets, r, alpha }: Begin, seed: number): Promise<Adapter> =>
  createAdapter(planLora(model().base, { targets, r, alpha }), { key: key(seed) });

/** The same ΔW with `r` directions: those beside what was learned begin with B = 0. */
async function widened(old: Adapter, begin: Begin, r: number): Promise<Adapter> {
  const beside = await fresh({ ...begin, r: r - begin.r }, begin.seed + r);
  try {
    return sumAdapters([old, beside]);
  } finally {
    beside.dispose();
  }
}

function wholly(base: Gpt2): Trained {
  const copy = castModule(base, 'f32');
  for (const parameter of copy.parameters()) parameter.requiresGrad = true;
  return { model: copy, optimizer: adamW(copy.namedParameters(), { weightDecay: 0 }) };
}

/** Frees what learned before. */
function forget(): void {
  if (!learners) return;
  const { lora, trained } = learners;
  lora.detach();
  trained.full?.model.dispose();
  for (const { optimizer } of Object.values(trained)) optimizer.dispose();
  learners = undefined;
}

function counts(): Begun {
  const { trained, begin } = current();
  const numbers = ({ optimizer }: Trained): number => optimizer.params.reduce((n, { size }) => n + size, 0);
  const [lora, full] = [trained.lora, trained.full].map((one) => (one ? numbers(one) : 0));
  /** f32: the gradient, and AdamW's two moments. */
  const state = (n: number): number => n * 3 * 4;
  return { r: begin.r, trained: { lora, full }, state: { lora: state(lora), full: state(full) } };
}

async function lossOf(reader: Gpt2, { ids, targets }: TextBatch): Promise<number> {
  const loss = scope(() => noGrad(() => reader.loss(ids, targets)));
  try {
    return await loss.item();
  } finally {
    for (const t of [loss, ids, targets]) t.dispose();
  }
}

async function evaluated(names: readonly ('lora' | 'full')[]): Promise<Evaluation> {
  const { steps, begin } = current();
  const on = async (reader: Gpt2, tokens: Int32Array): Promise<number> =>
    perplexity(reader, tokens, { context: Math.min(begin.context, tokens.length - 1), limit: WINDOWS });
  const measured: Partial<Record<Learner, { new: number; old: number }>> = {};
  for (const name of [...names, 'base'] as const) {
    const reader = modelOf(name);
    measured[name] = { new: await on(reader, chosenText().heldOut), old: await on(reader, model().old) };
  }
  return { steps, perplexity: measured };
}
