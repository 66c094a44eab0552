/** Those who learn side by side from the same batches: LoRA, all of the model, and the base that does not. */
import {
  adamW, BaxError, castModule, compressAdapter, createAdapter, key, LoraModel, noGrad, perplexity, planLora, randomWindows, readAdapter,
  scope, sumAdapters, train, type Adapter, type Gpt2, type Optimizer, type TextBatch, type TrainOptions,
} from 'bax'; // prettier-ignore
import type { Handlers } from '../../app/calls.ts';
import { keepRun, keptRun } from './keeping.ts';
import { chosenText, model } from './model.ts';
import type { Begin, Begun, Evaluation, Learner, Step, Tasks, Voice } from './tasks.ts';
import type { NotKept } from './shelf-tasks.ts';
import { settled } from './took.ts';
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
  /** What was told of it. */
  readonly told: { readonly steps: Step[]; readonly evaluations: Evaluation[] };
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

export const learning: Pick<Handlers<Tasks>, 'begin' | 'learn' | 'rerank' | 'resume'> = {
  async begin(begin) {
    start(begin, await fresh(begin, begin.seed));
    return counts();
  },

  async resume() {
    forget(); // the text is another one
    const found = await keptRun().catch(() => undefined); // where nothing can be kept, nothing is
    if (!found || found.run.text !== chosenText().crc) return undefined;
    const { steps, evaluations } = found.run;
    const begin = { ...found.run.begin, full: false };
    const read = await readAdapter(model().base, found.folder).catch(() => undefined);
    if (!read) return undefined; // of another base: the page is newer
    start(begin, read.adapter, { steps: [...steps], evaluations: [...evaluations] });
    return { begun: counts(), steps, evaluations };
  },

  async learn({ steps, rates, evaluateEvery }, tell, signal) {
    const { begin, trained, steps: made } = current();
    const windows = windowsOf(begin);
    const losses: Partial<Record<Learner, number>> = {};
    const took: Partial<Record<Learner, number>> = {};
    const names = (['lora', 'full'] as const).filter((name) => trained[name]);
    const { told } = current();
    const evaluate = async (): Promise<void> => {
      const evaluation = await evaluated(names);
      told.evaluations.push(evaluation);
      tell(evaluation);
    };
    const keep = async (): Promise<void> => {
      const trouble = await kept();
      if (trouble) tell(trouble);
    };
    if (made === 0) await evaluate();

    /** All stop after the same step, or the batches would not be the same any more. */
    const stop = new AbortController();
    const allMade = async (): Promise<void> => {
      const step = current().steps++;
      losses.base = await lossOf(model().base, windows(step));
      const report = { step, rates, loss: { ...losses }, took: { ...took } };
      told.steps.push(report);
      tell(report);
      if ((step + 1) % evaluateEvery === 0) {
        await evaluate();
        if (step + 1 < made + steps) await keep();
      }
      if (signal.aborted) stop.abort();
    };
    await inTurns(names, async (name, turn) => {
      const { optimizer } = trained[name]!;
      await turn.mine();
      let began = performance.now();
      const startStep = optimizer.stepCount; // another rank has begun with an optimiser of its own, and a kept run
      const run = train({
        ...lesson(trained[name]!),
        batches: (step) => windows(step - startStep + made),
        schedule: () => rates[name],
        steps: startStep + steps,
        startStep,
        signal: stop.signal,
        async onStep({ loss }) {
          losses[name] = loss;
          await settled(optimizer.params[0]); // the update is of its own time, not of the next one's
          took[name] = (performance.now() - began) / 1000;
          if (name === names.at(-1)) await allMade();
          await turn.next();
          began = performance.now();
        },
      });
      await run.finally(() => stop.abort()); // when one cannot go on, nobody does
    });
    if (!signal.aborted && steps > 1 && current().steps % evaluateEvery !== 0) await evaluate();
    await keep();
    return { steps: current().steps };
  },

  async rerank({ r }) {
    const { lora, begin, trained } = current();
    const old = lora.adapter(LEARNING);
    const next = r < begin.r ? (await compressAdapter(old, r)).adapter : await widened(old, begin, r);
    lora.swap(LEARNING, next).dispose('when its rank was changed');
    trained.lora.optimizer.dispose();
    trained.lora.optimizer = adamW(lora.parameters(), { weightDecay: 0 });
    current().begin = { ...begin, r, alpha: r }; // B A of another rank has s = 1
    return counts();
  },
};

/** What another adapter must know to learn the same, and to be compared; `rates` are LoRA's, of each step that was made. */
export function course(): {
  readonly begin: Begin;
  readonly rates: readonly number[];
  readonly adapted: { readonly lora: LoraModel<Gpt2>; readonly adapter: string };
  readonly full: Gpt2 | undefined;
} {
  const { begin, lora, trained, told } = current();
  const rates = told.steps.map(({ rates: { lora: rate } }) => rate);
  return { begin, rates, adapted: { lora, adapter: LEARNING }, full: trained.full?.model };
}

/** LoRA in the run and the steps it has made, if a run has begun. */
export const inTraining = (): (Pick<Learners, 'begin' | 'lora' | 'steps'> & Trained) | undefined =>
  learners && { ...learners, ...learners.trained.lora };

export function windowsOf({
  batch,
  context,
  seed,
}: Pick<Begin, 'batch' | 'context' | 'seed'>): (step: number) => TextBatch {
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

/** Puts the learners where `told` ends: LoRA with this adapter, and a copy of the base if that learns, too. */
function start(
  begin: Begin,
  adapter: Adapter,
  told: Learners['told'] = { steps: [], evaluations: [] },
): void {
  const { base } = model();
  const lora = new LoraModel(base);
  lora.add(LEARNING, adapter);
  lora.activate(LEARNING);
  forget();
  const steps = told.steps.length;
  const optimizer = adamW(lora.parameters(), { weightDecay: 0 });
  const full = begin.full ? wholly(base) : undefined;
  const trained = { lora: { model: lora.model, optimizer }, ...(full && { full }) };
  learners = { begin, lora, trained, steps, told };
}

/** Keeps the run in this browser, if it has learned something. */
async function kept(): Promise<NotKept | undefined> {
  const { begin, lora, steps, told } = current();
  if (steps === 0) return undefined;
  return keepRun(lora, { version: 1, text: chosenText().crc, begin, ...told });
}

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

/** Frees what was made of the run. */
const followers: (() => void)[] = [];
/** Calls `free` when the run is forgotten. */
export const goesWithRun = (free: () => void): void => void followers.push(free);

/** Frees what learned before. */
function forget(): void {
  if (!learners) return;
  for (const free of followers) free();
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
  return { begin, trained: { lora, full }, state: { lora: state(lora), full: state(full) } };
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
