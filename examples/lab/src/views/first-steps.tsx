/** Step by step: B = 0 lets ∇A sleep; when B has moved, it wakes up. */
import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { JSX } from 'preact';
import type { FirstStep, FirstSteps as Asked } from '../../worker/tasks.ts';
import { act, call, idle, isBusy, opened, settings, text } from '../lab.ts';
import { Button } from '../parts/button.tsx';
import { HeatMap } from '../parts/heat-map.tsx';
import { NumberField } from '../parts/number-field.tsx';
import { Tex } from '../parts/tex.tsx';
import { ViewFrame } from '../parts/view-frame.tsx';
import { number, words } from '../words/index.ts';

/** Learning rates that move enough to be seen, and not too far. */
const RATES = { sgd: 1, adamW: 0.01 } as const;

// What stays while another view is open.
const path = signal('');
const optimizer = signal<Asked['optimizer']>('sgd');
const walk = signal<{ readonly id: string; readonly step: number; readonly seen: readonly FirstStep[] }>({
  id: '',
  step: 0,
  seen: [],
});
/** While numbers are typed nothing is computed, in milliseconds. */
const PATIENCE = 300;

const isZero = (data: Float32Array): boolean => data.every((x) => x === 0);

export function FirstSteps(): JSX.Element {
  const places = opened.value?.places ?? [];
  const target = path.value || (places.find((place) => place.path.endsWith('.q'))?.path ?? '');
  const { r, alpha, seed } = settings.value;
  const choice = { path: target, r, alpha, seed, optimizer: optimizer.value, lr: RATES[optimizer.value] };
  const id = JSON.stringify([choice, text.value]);
  const { step, seen } = walk.value;

  const go = async (to: number, byItself = false): Promise<void> => {
    const take = async (): Promise<readonly FirstStep[]> => call('firstSteps', { ...choice, steps: to });
    const result = await act(words().stepping, take, { byItself });
    if (result) walk.value = { id, step: to, seen: result };
  };
  useEffect(() => {
    if (!text.value || walk.value.id === id) return;
    let isLate = false;
    const timer = setTimeout(() => void idle().then(() => (isLate ? undefined : go(0, true))), PATIENCE);
    return () => {
      isLate = true;
      clearTimeout(timer);
    };
  }, [id]);
  const now = walk.value.id === id ? seen[step] : undefined;
  return (
    <ViewFrame
      name="steps"
      lesson="lesson-5"
      source="first-steps"
      formulas={[
        String.raw`\nabla_B = \tfrac{\alpha}{r}\, G\,(A X)^{\top}`,
        String.raw`\nabla_A = \tfrac{\alpha}{r}\, B^{\top} G\, X^{\top}`,
        String.raw`B_0 = 0`,
      ]}
    >
      <form class="row" onSubmit={(event) => event.preventDefault()}>
        <span class="field">
          <label for="matrix">{words().matrix}</label>
          <select
            id="matrix"
            value={target}
            onChange={({ currentTarget }) => void (path.value = currentTarget.value)}
          >
            {places.map((place) => (
              <option
                key={place.path}
                value={place.path}
              >{`${place.path} [${place.out}, ${place.in}]`}</option>
            ))}
          </select>
        </span>
        <NumberField field="r" />
        <NumberField field="alpha" />
        <span class="field">
          <label for="optimizer">{words().optimizer}</label>
          <select
            id="optimizer"
            value={optimizer.value}
            onChange={({ currentTarget }) =>
              void (optimizer.value = currentTarget.value as Asked['optimizer'])
            }
          >
            <option value="sgd">SGD, η = {RATES.sgd}</option>
            <option value="adamW">AdamW, η = {RATES.adamW}</option>
          </select>
        </span>
      </form>
      <div class="row" role="group" aria-label={words().step('')}>
        <Button type="button" isOff={isBusy.value || step === 0} onClick={() => void go(0)}>
          {words().firstStep}
        </Button>
        <Button type="button" isOff={isBusy.value || step === 0} onClick={() => void go(step - 1)}>
          {words().backStep}
        </Button>
        <Button type="button" class="main" isOff={isBusy.value || !now} onClick={() => void go(step + 1)}>
          {words().nextStep}
        </Button>
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
          <p class="quiet">{words().heatKey}</p>
          <p class="quiet">
            {words().whyZero} <Tex>{'B = 0 \\Rightarrow B^{\\top} G X^{\\top} = 0'}</Tex>
          </p>
        </>
      )}
    </ViewFrame>
  );
}
