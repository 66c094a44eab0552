/** One step of training, taken apart: its tape, how long each call of it takes, where its memory is. */
import {
  adamW,
  alias,
  attachLora,
  blockOf,
  grad,
  key,
  measureMemory,
  planLora,
  scope,
  tapeOf,
  type Gpt2,
  type LoraModel,
  type Optimizer,
  type TapeRecord,
  type Tensor,
} from 'bax';
import type { Handlers } from '../../app/calls.ts';
import { Anatomist } from './anatomy.ts';
import type { CallTime, From, HoodChoice, TapeInput } from './hood-tasks.ts';
import { inTraining, lesson, windowsOf } from './learners.ts';
import { model } from './model.ts';
import { watched } from './ran.ts';
import { askedFor, backwardOf, forwardOf } from './record.ts';
import type { Begin, Tasks } from './tasks.ts';
import { median, timed, took } from './took.ts';

/** Times that the whole step is made. */
const WHOLE = 3;

interface Subject {
  readonly begin: Pick<Begin, 'batch' | 'context' | 'seed'>;
  readonly lora: LoraModel<Gpt2>;
  readonly optimizer: Optimizer;
  readonly steps: number;
}
/** Where no run has begun. */
let own: { readonly id: string; readonly subject: Subject } | undefined;

async function subjectOf(choice: HoodChoice): Promise<Subject> {
  const run = inTraining();
  const id = JSON.stringify(choice);
  if (own && (run || own.id !== id)) {
    own.subject.optimizer.dispose();
    own.subject.lora.detach();
    own = undefined;
  }
  if (run) return run;
  if (!own) {
    const { base } = model();
    const { targets, r, alpha, seed } = choice;
    const lora = await attachLora(base, planLora(base, { targets, r, alpha }), { key: key(seed) });
    const optimizer = adamW(lora.parameters(), { weightDecay: 0 });
    own = { id, subject: { begin: choice, lora, optimizer, steps: 0 } };
  }
  return own.subject;
}

/** What `watched` saw of a step, given back: its tape, and what was computed before the tape begins. */
function free(loss: Tensor, params: readonly Tensor[], made: readonly Tensor[]): void {
  const grads = loss.record ? grad(loss, params) : [];
  for (const t of [loss, ...made, ...grads]) t.dispose();
}

export const hood: Pick<Handlers<Tasks>, 'tape' | 'times'> = {
  async tape(choice) {
    const subject = await subjectOf(choice);
    const { begin, lora, optimizer, steps } = subject;
    const anatomist = await Anatomist.open();
    const windows = windowsOf(begin);
    const { ids, targets } = windows(steps);
    const params = [...lora.parameters().values()];
    const { result: loss, ran, made } = watched(() => lora.model.loss(ids, targets));
    const tape = tapeOf(loss);
    const blocks = blocksOf(tape);
    const inputsOf = inputsIn(tape, lora, [ids, targets]);
    const calls = tape.map((record, i) => ({
      op: record.op.name,
      path: record.path,
      block: blocks[i],
      inputs: inputsOf(record),
      shape: record.outputs[0].shape,
      attrs: attrsOf(record),
      ...anatomist.of(record),
    }));
    const first = ran.findIndex(({ path }) => path === tape[0].path);
    const { result: grads, ran: backward } = watched(() => grad(loss, params));
    free(loss, params, [...made, ...grads, ids, targets]);
    const {
      frozen,
      trained,
      gradients,
      optimizer: state,
      activations,
      kept,
      peak,
    } = measureMemory(lora.model, {
      ...lesson({ model: lora.model, optimizer }),
      batches: () => windows(steps),
      steps: 1,
    });
    return {
      batch: begin.batch,
      context: begin.context,
      steps,
      calls,
      ran: { unrecorded: ran.slice(0, first), forward: ran.slice(first), backward },
      numbers: numbersOf(calls.flatMap(({ inputs }) => inputs)),
      kernels: anatomist.kernels,
      memory: { frozen, trained, gradients, optimizer: state, activations, kept, peak },
    };
  },

  async times(choice, tell, signal) {
    const { begin, lora, steps } = await subjectOf(choice);
    const { ids, targets } = windowsOf(begin)(steps);
    const params = [...lora.parameters().values()];
    const lossOf = () => watched(() => lora.model.loss(ids, targets));
    const { result: loss, made } = lossOf();
    const tape = tapeOf(loss);
    const calls: CallTime[] = [];
    try {
      for (const record of tape) {
        await new Promise((resolve) => setTimeout(resolve)); // messages have their turn
        signal.throwIfAborted();
        const [x, y] = [record.inputs, record.outputs].map((tensors) => tensors.map((t) => alias(t)));
        calls.push({
          forward: await took(() => scope(() => forwardOf(record, x))),
          backward: await took(() =>
            scope(() => backwardOf(record, x.map((t) => alias(t)), y, alias(y[0]))),
          ),
        }); // prettier-ignore
        for (const t of [...x, ...y]) t.dispose();
        tell({ done: calls.length, total: tape.length + 1 });
      }
      const whole: { forward: number; backward: number }[] = [];
      while (whole.length < WHOLE) {
        let step!: ReturnType<typeof lossOf>;
        const forward = await timed(() => [(step = lossOf()).result]);
        const backward = await timed(() => grad(step.result, params));
        free(step.result, params, [...step.made, ...backward.made]);
        whole.push({ forward: forward.time, backward: backward.time });
      }
      const middle = (side: 'forward' | 'backward'): number => median(whole.map((one) => one[side]));
      return { calls, whole: { forward: middle('forward'), backward: middle('backward') } };
    } finally {
      free(loss, params, [...made, ids, targets]);
    }
  },
};

/** The block that each call belongs to; one that names none belongs where what it read last came from. */
function blocksOf(tape: readonly TapeRecord[]): (number | undefined)[] {
  const found = new Map<TapeRecord, number | undefined>();
  for (const record of tape) {
    const latest = record.sources.reduce((a, b) => (a && (!b || a.id > b.id) ? a : b), undefined);
    found.set(record, record.path === '' && latest ? found.get(latest) : blockOf(`${record.path}.`));
  }
  return [...found.values()];
}

function inputsIn(
  tape: readonly TapeRecord[],
  lora: LoraModel<Gpt2>,
  batch: readonly Tensor[],
): (record: TapeRecord) => TapeInput[] {
  const place = ({ view }: Tensor) => ({ buffer: view.buffer, offset: view.offset });
  const weights = [...lora.model.namedParameters()].map(([name, t]) => ({ name, ...place(t) }));
  const fromOf = (x: Tensor, source: TapeRecord | undefined): From => {
    if (source) return { call: tape.indexOf(source) };
    const { buffer, offset } = place(x);
    const weight = weights.find((one) => one.buffer === buffer && one.offset === offset);
    if (weight) return { parameter: weight.name, isTrained: x.requiresGrad };
    return { other: batch.some((t) => t.view.buffer === buffer) ? 'batch' : 'unrecorded' };
  };
  return (record) => {
    const asked = askedFor(record);
    return record.inputs.map((x, i) => ({
      from: fromOf(x, record.sources[i]),
      shape: x.shape,
      isAsked: asked.includes(i),
    }));
  };
}

const shortened = (_: string, value: unknown): unknown =>
  typeof value === 'number' ? Number(value.toPrecision(4)) : value;
const attrsOf = ({ attrs }: TapeRecord): string =>
  Object.entries(attrs as Record<string, unknown>)
    .filter(([, value]) => !(Array.isArray(value) && value.length === 0))
    .map(([name, value]) => `${name} = ${JSON.stringify(value, shortened).replaceAll('"', '')}`)
    .join(', ');

/** Each weight counts once. */
function numbersOf(inputs: readonly TapeInput[]): { trained: number; frozen: number } {
  const counted = new Map<string, { isTrained: boolean; size: number }>();
  for (const { from, shape } of inputs)
    if ('parameter' in from)
      counted.set(from.parameter, { isTrained: from.isTrained, size: shape.reduce((a, b) => a * b, 1) });
  const sum = (isTrained: boolean): number =>
    [...counted.values()].reduce((n, one) => n + (one.isTrained === isTrained ? one.size : 0), 0);
  return { trained: sum(true), frozen: sum(false) };
}
