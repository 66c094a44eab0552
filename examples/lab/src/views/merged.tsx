/** The merged model beside the one with its adapter: what they answer, and what they cost. */
import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { JSX } from 'preact';
import type { MergedProof } from '../../worker/tasks.ts';
import { act, call, canPause, choose, isBusy, settings, text } from '../lab.ts';
import { legible } from '../legible.ts';
import { Button } from '../parts/button.tsx';
import { CallsTable } from '../parts/calls-table.tsx';
import { CsvButton } from '../parts/csv-button.tsx';
import { Scatter } from '../parts/scatter.tsx';
import { ViewFrame } from '../parts/view-frame.tsx';
import { begin, learn, steps, version } from '../run.ts';
import { number, words } from '../words/index.ts';
import { TableHead } from '../parts/table-head.tsx';

/** Tokens that are shown, and words that are written side by side. */
const [TOP, WORDS] = [8, 40];

// What stays while another view is open.
interface Seen {
  /** Which state of the adapter it is of. */
  readonly version: number;
  readonly prompt: string;
  readonly proof: MergedProof;
}
const seen = signal<Seen | undefined>(undefined);
const isMerged = signal(false);
const pair = signal<readonly [string, string] | undefined>(undefined);

export function Merged(): JSX.Element {
  const { prompt, temperature, seed } = settings.value;
  const isNew = seen.value?.version !== version.value || seen.value.prompt !== prompt;
  const proof = isNew ? undefined : seen.value?.proof;
  useEffect(() => {
    if (isNew) [isMerged.value, pair.value] = [false, undefined];
  }, [isNew]);

  const merge = async (): Promise<void> => {
    const result = await act(words().merging, async () => call('merge', { prompt }));
    if (!result) return;
    seen.value = { version: version.value, prompt, proof: result };
    isMerged.value = true;
  };
  const write = async (): Promise<void> => {
    const written = { lora: '', merged: '' };
    await act(words().writing, async (signal) => {
      for (const voice of ['lora', 'merged'] as const)
        await call('generate', { voice, prompt, tokens: WORDS, temperature, seed }, {
          signal,
          on(piece) {
            written[voice] += piece;
            pair.value = [written.lora, written.merged];
          },
        }); // prettier-ignore
    });
  };
  const first = async (): Promise<void> => {
    if (await begin(false)) await learn(20);
  };
  return (
    <ViewFrame
      name="merged"
      lesson="lesson-6"
      source="merge"
      formulas={[
        String.raw`W' = W + \tfrac{\alpha}{r} B A`,
        String.raw`W' x = W x + \tfrac{\alpha}{r} B (A x)`,
      ]}
    >
      {steps.value.length === 0 ? (
        <p>
          {words().nothingYet}{' '}
          <Button
            type="button"
            class="main"
            heir="view-merged"
            isOff={isBusy.value || !text.value}
            onClick={() => void first()}
          >
            {words().trainFirst}
          </Button>
        </p>
      ) : (
        <form
          class="row"
          onSubmit={(event) => {
            event.preventDefault();
            void merge();
          }}
        >
          <span class="field wide">
            <label for="merge-prompt">{words().prompt}</label>
            <input
              id="merge-prompt"
              value={prompt}
              maxLength={500}
              required
              readOnly={isBusy.value}
              onInput={({ currentTarget }) => {
                choose({ prompt: currentTarget.value });
              }}
            />
          </span>
          <Button
            type={proof ? 'button' : 'submit'}
            class="main"
            isOff={isBusy.value}
            onClick={() => proof && (isMerged.value = !isMerged.value)}
          >
            {isMerged.value ? words().unmerge : words().merge}
          </Button>
          <output aria-live="polite">{isMerged.value ? words().mergedState : words().unmergedState}</output>
        </form>
      )}
      {canPause.value && <p role="note">{words().meanwhile}</p>}
      {proof && <Proof proof={proof} isMerged={isMerged.value} prompt={prompt} />}
      {proof && (
        <>
          <p>
            <Button type="button" isOff={isBusy.value} onClick={() => void write()}>
              {words().writeBoth}
            </Button>
          </p>
          {pair.value && (
            <div class="pairs">
              {(['lora', 'merged'] as const).map((voice, i) => (
                <figure key={voice} class="written">
                  <figcaption>{words().voices[voice]}</figcaption>
                  <p>{legible(prompt + pair.value![i])}</p>
                </figure>
              ))}
            </div>
          )}
        </>
      )}
    </ViewFrame>
  );
}

function Proof({
  proof,
  isMerged,
  prompt,
}: {
  readonly proof: MergedProof;
  readonly isMerged: boolean;
  readonly prompt: string;
}): JSX.Element {
  const { unmerged, merged, vocabulary, difference, bound, layers, ran, given } = proof;
  const shown = isMerged ? merged : unmerged;
  const top = [...shown.keys()].sort((a, b) => shown[b] - shown[a]).slice(0, TOP);
  const differences = Array.from(merged, (z, i) => Math.abs(z - unmerged[i]));
  return (
    <>
      <p class="verdict" role="note">
        {words().allLogits(number(difference, 3), number(bound, 3))}
      </p>
      <Scatter title={words().differenceChart} values={differences} bound={bound} names={vocabulary} />
      <div class="pairs">
        <div class="scroll" tabIndex={0} role="region" aria-label={words().nextToken}>
          <table>
            <caption>{words().likeliest(prompt)}</caption>
            <TableHead
              names={[words().nextToken, words().logitOf[isMerged ? 'merged' : 'unmerged'], words().signed]}
            />
            <tbody>
              {top.map((id) => (
                <tr key={id}>
                  <th scope="row">
                    <code>{JSON.stringify(vocabulary[id])}</code>
                  </th>
                  <td>{shown[id].toFixed(5)}</td>
                  <td>{number(merged[id] - unmerged[id], 3)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
        <div class="scroll" tabIndex={0} role="region" aria-label={words().layers}>
          <table>
            <caption>
              {words().layers}{' '}
              <CsvButton
                name={words().layers}
                table={() => [
                  [words().layer, words().error, words().bound, words().used],
                  ...layers.map((l) => [l.path, l.error, l.bound, l.ratio]),
                ]}
              />
            </caption>
            <TableHead names={[words().layer, words().error, words().bound, words().used]} />
            <tbody>
              {layers.map((layer) => (
                <tr key={layer.path}>
                  <th scope="row">{layer.path}</th>
                  <td>{number(layer.error, 3)}</td>
                  <td>{number(layer.bound, 3)}</td>
                  <td>{number(100 * layer.ratio, 2)} %</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </div>
      <CallsTable ran={ran} given={given} isMerged={isMerged} />
    </>
  );
}
