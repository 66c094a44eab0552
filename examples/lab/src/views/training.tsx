/** LoRA, all weights and the frozen base, on the same batches. */
import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import type { Begin, Evaluation, Learner } from '../../worker/tasks.ts';
import { useCount } from '../counts.ts';
import { home } from '../home.ts';
import { begun, halt, isBusy, opened, settings, text, textInUse } from '../lab.ts';
import { AdapterFields } from '../parts/adapter-fields.tsx';
import { KeepLearned } from '../parts/adapters/keep-learned.tsx';
import { Button } from '../parts/button.tsx';
import { NumberField } from '../parts/number-field.tsx';
import { NumberInput } from '../parts/number-input.tsx';
import { Series } from '../parts/series.tsx';
import { TableHead } from '../parts/table-head.tsx';
import { ViewFrame } from '../parts/view-frame.tsx';
import { begin, evaluations, learn, mayEnd, rerank, rerankedAt, resumedAt, steps } from '../run.ts';
import { READ_TEXTS, STEPS } from '../settings.ts';
import { bytes, number, words } from '../words/index.ts';

const LEARNERS = ['lora', 'full', 'base'] as const;
/** Of the last steps: one alone is as it happens. */
const RECENT = 10;
const mean = (all: readonly number[]): number => all.reduce((a, b) => a + b, 0) / all.length;

// What stays while another view is open.
const count = signal(60);
const full = signal(true);

export function Training(): JSX.Element {
  const { r, alpha, targets } = settings.value;
  const run = steps.value;
  const own = begun.value?.begin;
  const { value: counted } = useCount('count', { model: 'base', home, r, alpha, targets });
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
  const risenSince = lowestBefore(evaluations.value);
  /** Before a run has begun: what it would be. */
  const trainedOf = (name: Learner): number | undefined => {
    if (name === 'base') return 0;
    if (begun.value) return begun.value.trained[name];
    return name === 'full' ? opened.value?.parameters : counted?.parameters;
  };
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
          <NumberInput
            id="count"
            limits={STEPS}
            value={count.value}
            disabled={isTraining}
            onValue={(value) => void (count.value = value)}
          />
        </span>
        <span class="row">
          <Button class="main" id="go" isOff={isTraining || !text.value}>
            {run.length > 0 ? words().goOn : words().start}
          </Button>
          <Button type="button" isOff={!isTraining} onClick={halt}>
            {words().pause}
          </Button>
          <Button
            type="button"
            isOff={isTraining || !text.value}
            onClick={({ currentTarget }) => currentTarget.form!.reportValidity() && void go(1)}
          >
            {words().oneStep}
          </Button>
          <Button
            type="button"
            isOff={isTraining || !begun.value}
            onClick={({ currentTarget }) =>
              currentTarget.form!.reportValidity() && mayEnd() && void begin(full.value)
            }
          >
            {words().again}
          </Button>
          {own && own.r !== r && (
            <Button type="button" heir="go" isOff={isTraining} onClick={() => void rerank()}>
              {words().changeRank(String(r))}
            </Button>
          )}
        </span>
      </form>
      {own && <RunHas own={own} full={full.value} />}
      {resumedAt.value > 0 && <p role="note">{words().resumed(number(resumedAt.value))}</p>}
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
      {risenSince !== undefined && <p role="note">{words().byHeart(number(risenSince))}</p>}
      <p class="quiet">
        {words().perplexityHelp}
        {textInUse.value && READ_TEXTS.includes(textInUse.value) && ` ${words().baseHasRead}`}
      </p>
      <div class="scroll" tabIndex={0} role="region" aria-label={words().comparison}>
        <table class="wide">
          <caption>{words().comparison}</caption>
          <TableHead names={Object.values(words().table)} />
          <tbody>
            {shown.map((name) => {
              const trained = trainedOf(name);
              const state = name === 'base' ? 0 : begun.value?.state[name];
              const isGone = begun.value !== undefined && name === 'full' && trained === 0;
              const recent = run.slice(-RECENT);
              const seconds = recent.flatMap(({ took }) => took[name] ?? []);
              const losses = recent.flatMap(({ loss }) => loss[name] ?? []);
              const measured = evaluations.value.at(-1);
              const isOfOther = name === 'lora' && (measured?.steps ?? 0) <= rerankedAt.value;
              const last = isOfOther ? undefined : measured?.perplexity[name];
              const after = measured?.steps !== run.length && (
                <small> {words().measuredAt(number(measured?.steps ?? 0))}</small>
              );
              return (
                <tr key={name}>
                  <th scope="row">{words().learners[name]}</th>
                  <td>{isGone ? words().tableNone.full : trained !== undefined && number(trained)}</td>
                  <td>
                    {!isGone &&
                      opened.value &&
                      trained !== undefined &&
                      `${number((100 * trained) / opened.value.parameters, 3)} %`}
                  </td>
                  <td>{!isGone && state !== undefined && bytes(state)}</td>
                  <td>
                    {own &&
                      seconds.length > 0 &&
                      number(Math.round((own.batch * own.context) / mean(seconds)))}
                  </td>
                  <td>{losses.length > 0 && number(mean(losses), 3)}</td>
                  <td>
                    {last && number(last.new, 3)}
                    {last && after}
                  </td>
                  <td>
                    {last && number(last.old, 3)}
                    {last && after}
                  </td>
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

/** By how much perplexity has to rise before it is said. */
const RISEN = 1.1;
/** After how many steps LoRA was best on the held-out text, if it has become worse since. */
function lowestBefore(all: readonly Evaluation[]): number | undefined {
  const seen = all.flatMap(({ steps: at, perplexity: { lora } }) => (lora ? [{ at, new: lora.new }] : []));
  const best = seen.reduce((least, one) => (one.new < least.new ? one : least), seen[0]);
  return seen.length > 0 && seen.at(-1)!.new > RISEN * best.new ? best.at : undefined;
}

/** What the run was begun with, where the fields say something else. */
function RunHas({ own, full }: { readonly own: Begin; readonly full: boolean }): JSX.Element | null {
  const { r: rank, alpha, targets, seed, batch, context } = settings.value;
  const now = { ...own, r: rank, alpha, targets, seed, batch, context, full };
  if (JSON.stringify(now) === JSON.stringify(own)) return null;
  const [r, a, s, rows, tokens] = [own.r, own.alpha, own.seed, own.batch, own.context].map((n) => number(n));
  return <p role="note">{words().runHas(r, a, own.targets.join(', '), s, rows, tokens)}</p>;
}
