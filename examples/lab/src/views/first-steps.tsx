/** Step by step: B = 0 lets ∇A sleep; when B has moved, it wakes up. */
import { useState } from 'preact/hooks';
import type { JSX } from 'preact';
import type { FirstStep, FirstSteps as Asked } from '../../worker/tasks.ts';
import { act, call, isBusy, opened, settings, text, view } from '../lab.ts';
import { HeatMap } from '../parts/heat-map.tsx';
import { NumberField } from '../parts/number-field.tsx';
import { Tex } from '../parts/tex.tsx';
import { ViewFrame } from '../parts/view-frame.tsx';
import { useWhenIdle } from '../when-idle.ts';
import { number, words } from '../words/index.ts';

/** Learning rates that move enough to be seen, and not too far. */
const RATES = { sgd: 1, adamW: 0.01 } as const;
const isZero = (data: Float32Array): boolean => data.every((x) => x === 0);

export function FirstSteps(): JSX.Element {
  const places = opened.value?.places ?? [];
  const [path, setPath] = useState('');
  const [optimizer, setOptimizer] = useState<Asked['optimizer']>('sgd');
  const [step, setStep] = useState(0);
  const [seen, setSeen] = useState<readonly FirstStep[]>([]);
  const target = path || places.find((place) => place.path.endsWith('.q'))?.path;
  const { r, alpha, seed } = settings.value;

  const go = async (to: number): Promise<void> => {
    if (!target) return;
    const result = await act(words().stepping, async () =>
      call('firstSteps', {
        path: target,
        r,
        alpha,
        targets: [],
        seed,
        optimizer,
        lr: RATES[optimizer],
        steps: to,
      }),
    );
    if (!result) return;
    setSeen(result.steps);
    setStep(to);
  };
  const isShown = text.value && view.value === 'steps';
  const choice = JSON.stringify([text.value, target, r, alpha, seed, optimizer]);
  useWhenIdle(isShown ? choice : undefined, async () => go(0));
  const now = seen[step];
  return (
    <ViewFrame
      name="steps"
      source="first-steps"
      formula="\nabla_B = \tfrac{\alpha}{r}\, G\,(A X)^{\top} \qquad \nabla_A = \tfrac{\alpha}{r}\, B^{\top} G\, X^{\top} \qquad B_0 = 0"
    >
      <form class="row" onSubmit={(event) => event.preventDefault()}>
        <span class="field">
          <label for="matrix">{words().matrix}</label>
          <select
            id="matrix"
            value={target}
            disabled={isBusy.value}
            onChange={({ currentTarget }) => setPath(currentTarget.value)}
          >
            {places.map((place) => (
              <option
                key={place.path}
                value={place.path}
              >{`${place.path} [${place.out}, ${place.in}]`}</option>
            ))}
          </select>
        </span>
        <NumberField field="r" disabled={isBusy.value} />
        <NumberField field="alpha" disabled={isBusy.value} />
        <span class="field">
          <label for="optimizer">{words().optimizer}</label>
          <select
            id="optimizer"
            value={optimizer}
            disabled={isBusy.value}
            onChange={({ currentTarget }) => setOptimizer(currentTarget.value as Asked['optimizer'])}
          >
            <option value="sgd">SGD, η = {RATES.sgd}</option>
            <option value="adamW">AdamW, η = {RATES.adamW}</option>
          </select>
        </span>
      </form>
      <div class="row" role="group" aria-label={words().step('')}>
        <button type="button" disabled={isBusy.value || step === 0} onClick={() => void go(0)}>
          {words().firstStep}
        </button>
        <button type="button" disabled={isBusy.value || step === 0} onClick={() => void go(step - 1)}>
          {words().backStep}
        </button>
        <button type="button" class="main" disabled={isBusy.value || !now} onClick={() => void go(step + 1)}>
          {words().nextStep}
        </button>
        <output aria-live="polite">
          <b>{words().step(String(step))}</b> {now && words().lossIs(number(now.loss))}
        </output>
      </div>
      {now && (
        <>
          <p class="verdict" role="note">
            {isZero(now.dA.data) && !isZero(now.dB.data) ? words().verdict.asleep : words().verdict.awake}
          </p>
          <div class="pairs">
            <HeatMap name="A" numbers={now.A} />
            <HeatMap name="∇A" numbers={now.dA} />
            <HeatMap name="B" numbers={now.B} turned />
            <HeatMap name="∇B" numbers={now.dB} turned />
          </div>
          <p class="quiet">
            {words().whyZero} <Tex>{'B = 0 \\Rightarrow B^{\\top} G X^{\\top} = 0'}</Tex>
          </p>
        </>
      )}
    </ViewFrame>
  );
}
