/** Adapters that learn a text each, one lesson at a time, beside the run that the Training view shows. */
import {
  BaxError,
  adamW,
  createAdapter,
  key,
  LoraModel,
  planLora,
  randomWindows,
  train,
  type Gpt2,
  type Optimizer,
} from 'bax';
import type { Handlers } from '../../app/calls.ts';
import { model, textOf, type Text } from './model.ts';
import { put, putNew, shown } from './shelf.ts';
import type { Tasks } from './tasks.ts';
import type { Lesson } from './shelf-tasks.ts';

const NAME = 'pupil';
/** Steps from one keeping to the next. */
const KEEP_EVERY = 20;

interface Pupil {
  /** All of the lesson but its length. */
  readonly id: string;
  readonly text: Text;
  readonly lora: LoraModel<Gpt2>;
  readonly optimizer: Optimizer;
  /** Under which it is kept, as soon as it is. */
  name?: string;
}
/** Who has not learned the whole of a lesson yet, and may go on. */
let pupil: Pupil | undefined;

export const teaching: Pick<Handlers<Tasks>, 'teach' | 'endLesson'> = {
  async teach({ steps, ...lesson }, tell, signal) {
    const id = JSON.stringify(lesson);
    if (pupil?.id !== id) {
      const next = await enrolled(id, lesson);
      dismiss();
      pupil = next;
    }
    const current = pupil;
    const { lora, optimizer, text } = current;
    const keep = async (): Promise<void> => {
      const adapter = lora.adapter(NAME).copy();
      if (current.name === undefined) current.name = await putNew(lesson.name, adapter);
      else await put(current.name, adapter);
    };
    const { batch, context, seed, lr } = lesson;
    const startStep = optimizer.stepCount;
    await train({
      batches: (step) => randomWindows(text.train, step, { batch, context, seed }),
      loss: ({ ids, targets }, { key: random }) => lora.model.loss(ids, targets, { key: random }),
      optimizer,
      schedule: () => lr,
      clip: 1,
      steps,
      startStep,
      replay: true,
      signal,
      async onStep({ step, loss }) {
        tell({ step, loss });
        if ((step + 1) % KEEP_EVERY === 0 && step + 1 < steps) await keep();
      },
    });
    const { stepCount } = optimizer;
    if (stepCount > startStep) await keep();
    if (stepCount >= steps) dismiss();
    return { steps: stepCount, name: current.name ?? lesson.name, shelf: shown() };
  },

  async endLesson() {
    dismiss();
    return undefined;
  },
};

async function enrolled(id: string, lesson: Omit<Lesson, 'steps'>): Promise<Pupil> {
  const text = await textOf(lesson.text);
  if ('refused' in text) throw new BaxError('nothing can be learned from this text'); // the page reads it before
  const { base } = model();
  const { targets, r, alpha, seed } = lesson;
  const lora = new LoraModel(base);
  lora.add(NAME, await createAdapter(planLora(base, { targets, r, alpha }), { key: key(seed) }));
  lora.activate(NAME);
  return { id, text, lora, optimizer: adamW(lora.parameters(), { weightDecay: 0 }) };
}

function dismiss(): void {
  pupil?.optimizer.dispose();
  pupil?.lora.detach();
  pupil = undefined;
}
