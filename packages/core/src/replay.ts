/**
 * A step that asks the device for the same calls each time is recorded once and then made again without the host's part
 * of it: shapes, checks, tape, the choice of kernels. What differs from step to step goes through the memory of its
 * inputs, through random keys, and through scalars that are held by reference.
 */
import { assign } from './assign.ts';
import type { Backend } from './backend.ts';
import { BaxError } from './errors.ts';
import { noGrad } from './op.ts';
import { isRecordingStep, noting } from './recording.ts';
import { scope, scopeAndMade, tensorsIn } from './scope.ts';
import { isTensor, keep, type Tensor } from './tensor.ts';

export interface Replay<T> {
  /** What the step returned. Each `run` gives the tensors that it made new values; `dispose` frees them. */
  readonly result: T;
  /** Makes the step again. @throws if memory that it uses was freed since. */
  run(): void;
  dispose(): void;
}

/**
 * Runs a step and records what it asks of the backend. The step's own code runs this once: what it reads beside the
 * contents of tensors, random keys and learning rates that are functions stays what it was, and `tensor(…)` inside of it
 * gives the same values each time. Assign to tensors made before to feed it. The contract is that of torch.cuda.graph:
 * https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
 *
 * A backend that cannot record runs the step itself again, with the same results.
 * @throws if the step returns a Promise or a tensor that still has its tape, or if a step is being recorded already.
 */
export function record<T>(backend: Backend, step: () => T): Replay<T> {
  if (isRecordingStep()) throw new BaxError('record: a step is being recorded already');
  let result!: T;
  let made: ReadonlySet<object> = new Set();
  let notes: readonly (() => void)[] = [];
  const first = (): void => {
    notes = noting(() => {
      ({ result, made } = scopeAndMade(step));
    });
  };
  const recorded = backend.record?.(first);
  if (!recorded) first();
  const tensors = tensorsIn(result).filter(isTensor);
  const mine = tensors.filter((t) => made.has(t) && !t.kept);
  mine.forEach(keep);
  let open = true;
  return {
    result,
    run() {
      if (!open) throw new BaxError('replay: this step was disposed of; record it again');
      if (!recorded) return stepAgain(step, mine);
      recorded.run(() => {
        for (const again of notes) again();
        for (const { hold } of mine) hold.memory.version++;
      });
    },
    dispose() {
      if (!open) return;
      open = false;
      for (const t of mine) t.dispose("by replay's dispose()");
      recorded?.dispose();
    },
  };
}

const stepAgain = (step: () => unknown, into: readonly Tensor[]): void =>
  scope(() => {
    const { result, made } = scopeAndMade(step);
    const results = tensorsIn(result).filter((t): t is Tensor => isTensor(t) && made.has(t) && !t.kept);
    noGrad(() => into.forEach((t, i) => assign(t, results[i]!)));
  });
