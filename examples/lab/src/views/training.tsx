/** LoRA, all weights and the frozen base, on the same batches. */
import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import type { Learner } from '../../worker/tasks.ts';
import { begun, halt, isBusy, opened, settings, text } from '../lab.ts';
import { AdapterFields } from '../parts/adapter-fields.tsx';
import { KeepLearned } from '../parts/adapters/keep-learned.tsx';
import { NumberField } from '../parts/number-field.tsx';
import { Series } from '../parts/series.tsx';
import { ViewFrame } from '../parts/view-frame.tsx';
import { begin, evaluations, isResumed, learn, rerank, steps } from '../run.ts';
import { bytes, number, words } from '../words/index.ts';
import { TableHead } from '../parts/table-head.tsx';

const LEARNERS = ['lora', 'full', 'base'] as const;
/** Of the last steps: one alone is as it happens. */
const RECENT = 10;
const mean = (all: readonly number[]): number => all.reduce((a, b) => a + b, 0) / all.length;

// What stays while another view is open.
const count = signal(60);
const full = signal(true);

export function Training(): JSX.Element {
  const { r, batch, context } = settings.value;
  const run = steps.value;
  const isTraining = isBusy.value;
  const go = async (n: number): Promise<void> => {
    if (!begun.value && !(await begin(full.value))) return;
    await learn(n);
  };
  const curve = (learner: Learner): (number | null)[] => run.map(({ loss }) => loss[learner] ?? null);
  const shown = LEARNERS.filter(
    (name) =>
      name !== 'full' ||
      (begun.value?.trained.full ?? 1) > 0 ||
      run.some(({ loss }) => loss.full !== undefined),
  );
  const perplexities = (kind: 'new' | 'old'): Partial<Record<Learner, (number | null)[]>> =>
    Object.fromEntries(
      shown.map((name) => [
        name,
        evaluations.value.map(({ perplexity }) => perplexity[name]?.[kind] ?? null),
      ]),
    );
  return (
    <ViewFrame
      name="training"
      lesson="lesson-3"
      source="learners"
      formulas={[
        String.raw`h = W x + \tfrac{\alpha}{r} B A x`,
        String.raw`\min_{A,B} \; -\tfrac{1}{T}\textstyle\sum_t \log p(x_{t+1} \mid x_{\le t})`,
      ]}
    >
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          void go(count.value);
        }}
      >
        <AdapterFields disabled={isTraining} />
        <NumberField field="lr" disabled={isTraining} />
        <NumberField field="fullLr" disabled={isTraining} />
        <NumberField field="batch" disabled={isTraining} />
        <NumberField field="context" disabled={isTraining} />
        <label class="check">
          <input
            type="checkbox"
            checked={full.value}
            disabled={isTraining}
            onChange={({ currentTarget }) => void (full.value = currentTarget.checked)}
          />{' '}
          {words().alsoFull}
        </label>
        <span class="field">
          <label for="count">{words().steps}</label>
          <input
            id="count"
            type="number"
            min="1"
            max="100000"
            value={count.value}
            disabled={isTraining}
            onInput={({ currentTarget }) =>
              void (count.value = Math.max(1, Math.floor(currentTarget.valueAsNumber || 1)))
            }
          />
        </span>
        <span class="row">
          <button class="main" disabled={isTraining || !text.value}>
            {begun.value ? words().goOn : words().start}
          </button>
          <button type="button" disabled={!isTraining} onClick={halt}>
            {words().pause}
          </button>
          <button type="button" disabled={isTraining || !text.value} onClick={() => void go(1)}>
            {words().oneStep}
          </button>
          <button type="button" disabled={isTraining || !begun.value} onClick={() => void begin(full.value)}>
            {words().again}
          </button>
          {begun.value && begun.value.r !== r && (
            <button type="button" disabled={isTraining} onClick={() => void rerank()}>
              {words().changeRank(String(r))}
            </button>
          )}
        </span>
      </form>
      {isResumed.value && <p role="note">{words().resumed(number(run.length))}</p>}
      <p aria-live="off">{run.length > 0 ? words().stepOf(number(run.length)) : words().nothingYet}</p>
      <Series
        title={words().lossChart}
        steps={run.map(({ step }) => step + 1)}
        curves={Object.fromEntries(shown.map((name) => [name, curve(name)]))}
      />
      <div class="pairs">
        <Series
          title={words().newChart}
          steps={evaluations.value.map((e) => e.steps)}
          curves={perplexities('new')}
        />
        <Series
          title={words().oldChart}
          steps={evaluations.value.map((e) => e.steps)}
          curves={perplexities('old')}
        />
      </div>
      <p class="quiet">{words().perplexityHelp}</p>
      <div class="scroll" tabIndex={0} role="region" aria-label={words().comparison}>
        <table>
          <caption>{words().comparison}</caption>
          <TableHead names={Object.values(words().table)} />
          <tbody>
            {shown.map((name) => {
              const [trained, state] =
                name === 'base' ? [0, 0] : [begun.value?.trained[name] ?? 0, begun.value?.state[name] ?? 0];
              const recent = run.slice(-RECENT);
              const seconds = recent.flatMap(({ took }) => took[name] ?? []);
              const losses = recent.flatMap(({ loss }) => loss[name] ?? []);
              const last = evaluations.value.at(-1)?.perplexity[name];
              return (
                <tr key={name}>
                  <th scope="row">{words().learners[name]}</th>
                  <td>{number(trained)}</td>
                  <td>{opened.value && `${number((100 * trained) / opened.value.parameters, 3)} %`}</td>
                  <td>{bytes(state)}</td>
                  <td>{seconds.length > 0 && number(Math.round((batch * context) / mean(seconds)))}</td>
                  <td>{losses.length > 0 && number(mean(losses), 3)}</td>
                  <td>{last && number(last.new, 3)}</td>
                  <td>{last && number(last.old, 3)}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      <KeepLearned id="training" />
    </ViewFrame>
  );
}
