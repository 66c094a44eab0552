/** Under the hood: the tape of one step, its calls one by one, their time and their memory. */
import { useEffect } from 'preact/hooks';
import type { JSX } from 'preact';
import type { Tape } from '../../worker/hood-tasks.ts';
import { subject, takeApart, tape } from '../hood.ts';
import { idle, text } from '../lab.ts';
import { CallDetails } from '../parts/hood/call.tsx';
import { TapeGraph } from '../parts/hood/graph.tsx';
import { StepMemory } from '../parts/hood/step-memory.tsx';
import { TimesTable } from '../parts/hood/times-table.tsx';
import { TapeTree } from '../parts/hood/tree.tsx';
import { ViewFrame } from '../parts/view-frame.tsx';
import { number, words } from '../words/index.ts';

/** While numbers are typed nothing is computed, in milliseconds. */
const PATIENCE = 300;

export function Hood(): JSX.Element {
  const { value: id } = subject;
  const found = tape.value;
  useEffect(() => {
    if (!text.value || tape.value) return;
    let isLate = false;
    const timer = setTimeout(() => void idle().then(() => (isLate ? undefined : takeApart())), PATIENCE);
    return () => {
      isLate = true;
      clearTimeout(timer);
    };
  }, [id]);
  return (
    <ViewFrame
      name="hood"
      lesson="lesson-2"
      source="backward-walk"
      formulas={[
        String.raw`\nabla_x = W^{\top} g + \tfrac{\alpha}{r} A^{\top} B^{\top} g`,
        String.raw`\nabla_A = \tfrac{\alpha}{r}\, B^{\top} g\, x^{\top}`,
        String.raw`\nabla_B = \tfrac{\alpha}{r}\, g\, (A x)^{\top}`,
        String.raw`\cancel{\nabla_W = g\, x^{\top}}`,
      ]}
    >
      {found && (
        <>
          <Summary tape={found} />
          <div class="hood">
            <div class="scroll graph" tabIndex={0} role="region" aria-label={words().hood.graph}>
              <TapeGraph tape={found} />
            </div>
            <div class="scroll">
              <TapeTree tape={found} />
            </div>
            <CallDetails tape={found} />
          </div>
          <TimesTable tape={found} />
          <StepMemory tape={found} />
        </>
      )}
    </ViewFrame>
  );
}

function Summary({
  tape: { calls, ran, numbers, batch, context, steps },
}: {
  readonly tape: Tape;
}): JSX.Element {
  const { hood } = words();
  return (
    <>
      <p>{hood.about(number(steps + 1), number(batch), number(context))}</p>
      <dl class="figures">
        <div>
          <dt>{hood.onTape}</dt>
          <dd>{number(calls.length)}</dd>
        </div>
        <div>
          <dt>{hood.ran}</dt>
          <dd>
            {number(ran.unrecorded.length + ran.forward.length)} <small>{hood.forward}</small>{' '}
            {number(ran.backward.length)} <small>{hood.backward}</small>
          </dd>
        </div>
        <div>
          <dt>{hood.asked}</dt>
          <dd>{number(numbers.trained)}</dd>
        </div>
        <div>
          <dt>{hood.neverAsked}</dt>
          <dd>{number(numbers.frozen)}</dd>
        </div>
      </dl>
      <p class="quiet">
        {hood.before(ran.unrecorded.map(({ op }) => op).join(', '))} {hood.legend}
      </p>
    </>
  );
}
