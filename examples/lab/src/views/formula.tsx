/** h = W x + (α/r) B A x: how large is what, and how many numbers are trained. */
import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import type { CountChoice } from '../../worker/count-tasks.ts';
import { useCount } from '../counts.ts';
import { home } from '../home.ts';
import { choose, settings } from '../lab.ts';
import { TargetFields } from '../parts/adapter-fields.tsx';
import { DrawnMatrices } from '../parts/drawn-matrices.tsx';
import { MemoryLedger } from '../parts/memory-ledger.tsx';
import { PaperTables } from '../parts/paper-tables.tsx';
import { Slider } from '../parts/slider.tsx';
import { SourceLink } from '../parts/source-link.tsx';
import { ViewFrame } from '../parts/view-frame.tsx';
import { COUNTED, LIMITS, type Settings } from '../settings.ts';
import { bytes, number, words } from '../words/index.ts';

// What stays while another view is open.
const drawn = signal('');

export function Formula(): JSX.Element {
  const { counted, r, alpha, targets } = settings.value;
  const choice: CountChoice = { model: counted, home, r, alpha, targets };
  const { value, isOld } = useCount('count', choice);
  const matrix = value?.matrices.find(({ name }) => name === drawn.value) ?? value?.matrices[0];
  const { formula } = words();
  return (
    <ViewFrame
      name="formula"
      lesson="lesson-4"
      source="lora-linear"
      formulas={[
        String.raw`h = W x + \tfrac{\alpha}{r} B A x`,
        String.raw`W \in \mathbb{R}^{d_{\text{out}} \times d_{\text{in}}}`,
        String.raw`B \in \mathbb{R}^{d_{\text{out}} \times r}`,
        String.raw`A \in \mathbb{R}^{r \times d_{\text{in}}}`,
      ]}
    >
      <form class="row" onSubmit={(event) => event.preventDefault()}>
        <span class="field">
          <label for="counted">{formula.countFor}</label>
          <select
            id="counted"
            value={counted}
            onChange={({ currentTarget }) => choose({ counted: currentTarget.value as Settings['counted'] })}
          >
            {COUNTED.map((name) => (
              <option key={name} value={name}>
                {formula.models[name]}
              </option>
            ))}
          </select>
        </span>
        <span class="field">
          <label for="drawn">{formula.drawn}</label>
          <select
            id="drawn"
            value={matrix?.name}
            onChange={({ currentTarget }) => void (drawn.value = currentTarget.value)}
          >
            {value?.matrices.map(({ name, in: from, out }) => (
              <option key={name} value={name}>{`${name} [${out}, ${from}]`}</option>
            ))}
          </select>
        </span>
        <TargetFields disabled={false} />
        <span class="row sliders">
          <Slider field="r" most={LIMITS.r.most} />
          <Slider field="alpha" most={128} />
        </span>
      </form>
      {value && matrix && (
        <div aria-busy={isOld}>
          <DrawnMatrices matrix={matrix} r={r} scale={value.scale} />
          <dl class="figures">
            <div>
              <dt>{formula.trained}</dt>
              <dd>{number(value.parameters)}</dd>
            </div>
            <div>
              <dt>{formula.share}</dt>
              <dd>{number((100 * value.parameters) / value.modelParameters, 3)} %</dd>
            </div>
            <div>
              <dt>{formula.file}</dt>
              <dd>
                {bytes(value.bytes.f32)} <small>f32</small> · {bytes(value.bytes.f16)} <small>f16</small>
              </dd>
            </div>
            <div>
              <dt>s = α/r</dt>
              <dd>{number(value.scale)}</dd>
            </div>
          </dl>
          <p aria-live="polite">
            {formula.each(
              number(matrix.in * matrix.out),
              r,
              matrix.in,
              matrix.out,
              number(matrix.parameters),
            )}{' '}
            {formula.all(
              number(value.blocks * value.matrices.length),
              number(value.parameters),
              number(value.modelParameters),
            )}{' '}
            <SourceLink name="count">{words().source}</SourceLink>
          </p>
        </div>
      )}
      <MemoryLedger choice={choice} />
      <PaperTables />
    </ViewFrame>
  );
}
