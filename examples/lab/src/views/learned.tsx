/** What the adapter learned: its directions, how strong they are, and whether another one finds them too. */
import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { JSX } from 'preact';
import type { Learned as Found } from '../../worker/learned-tasks.ts';
import { act, begun, call, canPause, idle, isBusy, text } from '../lab.ts';
import { AllMatrices } from '../parts/all-matrices.tsx';
import { AmplificationTable } from '../parts/amplification-table.tsx';
import { Button } from '../parts/button.tsx';
import { HeatMap } from '../parts/heat-map.tsx';
import { OtherAdapter } from '../parts/other-adapter.tsx';
import { Series } from '../parts/series.tsx';
import { ViewFrame } from '../parts/view-frame.tsx';
import { begin, learn, steps, version } from '../run.ts';
import { number, words } from '../words/index.ts';

// What stays while another view is open.
const path = signal('');
/** Other adapters that were trained. */
const others = signal(0);
interface Seen {
  /** Of which choice and state it is. */
  readonly id: string;
  /** Of the adapter. */
  readonly version: number;
  readonly found: Found;
}
const seen = signal<Seen | undefined>(undefined);

export function Learned(): JSX.Element {
  const { learned } = words();
  const isThere = begun.value !== undefined && steps.value.length > 0;
  const id = JSON.stringify([version.value, path.value, others.value]);
  const look = async (): Promise<void> => {
    const give = { path: path.value };
    const found = await act(learned.reading, async () => call('learned', give), { byItself: true });
    if (found) seen.value = { id, version: version.value, found };
  };
  useEffect(() => {
    if (!isThere || seen.value?.id === id) return;
    let isLate = false;
    void idle().then(() => (isLate ? undefined : look()));
    return () => void (isLate = true);
  }, [id, isThere]);
  const first = async (): Promise<void> => {
    if (await begin(true)) await learn(20);
  };
  const found = isThere && seen.value?.version === version.value ? seen.value.found : undefined;
  return (
    <ViewFrame
      name="learned"
      lesson="lesson-7"
      source="spectrum"
      formulas={[
        String.raw`\Delta W = \tfrac{\alpha}{r} B A = \textstyle\sum_{i=1}^{r} \sigma_i u_i v_i^{\top}`,
        String.raw`\phi(i, j) = \frac{\lVert U_i^{\top} U'_j \rVert_F^2}{\min(i, j)} \in [0, 1]`,
      ]}
    >
      {canPause.value && isThere && <p role="note">{words().meanwhile}</p>}
      {!isThere && (
        <p>
          {words().nothingYet}{' '}
          <Button
            type="button"
            class="main"
            heir="view-learned"
            isOff={isBusy.value || !text.value}
            onClick={() => void first()}
          >
            {words().trainFirst}
          </Button>
        </p>
      )}
      {found && (
        <>
          <form class="row" onSubmit={(event) => event.preventDefault()}>
            <span class="field">
              <label for="learned-matrix">{learned.matrix}</label>
              <select
                id="learned-matrix"
                value={found.path}
                disabled={isBusy.value}
                onChange={({ currentTarget }) => void (path.value = currentTarget.value)}
              >
                {found.paths.map((name) => (
                  <option key={name}>{name}</option>
                ))}
              </select>
            </span>
          </form>
          <Changes found={found} />
          <AmplificationTable found={found} />
          <OtherAdapter found={found} onTrained={() => void others.value++} />
          <AllMatrices onChoose={(one) => void (path.value = one)} />
        </>
      )}
    </ViewFrame>
  );
}

/** ΔW itself, and its singular values. */
function Changes({ found: { lora, full } }: { readonly found: Found }): JSX.Element {
  const { learned, learners } = words();
  const { spectrum } = learned;
  const values = [lora.spectrum.values, ...(full ? [full.spectrum.values] : [])];
  const least = Math.min(lora.spectrum.values[lora.r - 1], ...(full?.spectrum.values ?? []));
  const says = [
    spectrum.lora(lora.r, number(lora.spectrum.effectiveRank ?? 0, 3)),
    ...(full ? [spectrum.full(number(full.spectrum.rank), number(full.spectrum.effectiveRank ?? 0, 3))] : []),
  ].join(' ');
  return (
    <>
      <div class="maps">
        <HeatMap name={`${learned.change}, ${learners.lora}`} numbers={lora.delta} atScale />
        {full && <HeatMap name={`${learned.change}, ${learners.full}`} numbers={full.delta} atScale />}
      </div>
      <p class="quiet">{words().heatKey}</p>
      {!full && <p class="quiet">{learned.noFull}</p>}
      <Series
        title={spectrum.title}
        along={spectrum.index}
        steps={Array.from(values[0], (_, i) => i + 1)}
        curves={{ lora: [...lora.spectrum.values], ...(full && { full: [...full.spectrum.values] }) }}
        logFrom={10 ** Math.floor(Math.log10(Math.max(least / 2, 1e-12)))}
        mark={{ at: lora.r, name: spectrum.cliff(lora.r) }}
        says={says}
      />
      <p class="verdict" role="note">
        {says}
      </p>
      <p class="quiet">{spectrum.help}</p>
    </>
  );
}
