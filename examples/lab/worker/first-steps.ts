/** The first steps of one adapter on one matrix, taken by hand: what is in A and B, and in their gradients. */
import {
  adamW,
  attachLora,
  grad,
  key,
  planLora,
  randomWindows,
  scope,
  sgd,
  type LoraModel,
  type Gpt2,
  type Optimizer,
  type Tensor,
} from 'bax';
import type { Handlers } from '../../app/calls.ts';
import { chosenText, model, type Text } from './model.ts';
import type { FirstStep, FirstSteps, Numbers, Tasks } from './tasks.ts';

/** Few tokens: what matters here is seen on any batch. */
const BATCH = { batch: 2, context: 48 };

interface Walk {
  /** All but the number of steps. */
  readonly id: string;
  readonly text: Text;
  readonly lora: LoraModel<Gpt2>;
  readonly optimizer: Optimizer;
  readonly steps: FirstStep[];
}
let walk: Walk | undefined;

export const firstSteps: Pick<Handlers<Tasks>, 'firstSteps'> = {
  async firstSteps({ steps, ...choice }) {
    const id = JSON.stringify(choice);
    if (walk?.id !== id || walk.text !== chosenText()) walk = await begun(id, choice, walk);
    while (walk.steps.length <= steps) walk.steps.push(await step(walk));
    return walk.steps.slice(0, steps + 1);
  },
};

async function begun(
  id: string,
  { path, r, alpha, seed, lr, optimizer }: Omit<FirstSteps, 'steps'>,
  old: Walk | undefined,
): Promise<Walk> {
  const { base } = model();
  const lora = await attachLora(base, planLora(base, { targets: [path], r, alpha }), { key: key(seed) });
  old?.lora.detach();
  old?.optimizer.dispose();
  const make = { sgd, adamW }[optimizer];
  return {
    id,
    text: chosenText(),
    lora,
    optimizer: make(lora.parameters(), { lr, weightDecay: 0 }),
    steps: [],
  };
}

/** The gradients where A and B stand; then the step. The batch is the same each time. */
async function step({ lora, optimizer, text }: Walk): Promise<FirstStep> {
  const [A, B] = [...lora.parameters().values()];
  const { ids, targets } = randomWindows(text.train, 0, BATCH);
  const [loss, dA, dB] = scope(() => {
    const loss = lora.model.loss(ids, targets);
    const [dA, dB] = grad(loss, [A, B]);
    return [loss, dA, dB];
  });
  const seen = {
    loss: await loss.item(),
    A: await numbers(A),
    B: await numbers(B),
    dA: await numbers(dA),
    dB: await numbers(dB),
  };
  optimizer.step([dA, dB]);
  for (const t of [ids, targets, loss, dA, dB]) t.dispose();
  return seen;
}

async function numbers(t: Tensor): Promise<Numbers> {
  const [rows, columns] = t.shape;
  return { rows, columns, data: Float32Array.from(await t.data()) };
}
