/** What the base and the blend expect after the prompt; the blend writes on. */
import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { act, call, choose, isBusy, settings } from '../../lab.ts';
import { blend, expected } from '../../shelf.ts';
import { number, words } from '../../words/index.ts';
import { Button } from '../button.tsx';
import { CsvButton } from '../csv-button.tsx';
import { TableHead } from '../table-head.tsx';
import { Written } from '../written.tsx';

/** Tokens that are shown. */
const TOP = 8;

/** What stays while another view is open. */
const written = signal('');

export function Expected(): JSX.Element {
  const { prompt, tokens, temperature, seed } = settings.value;
  const say = words().shelf;
  const write = async (): Promise<void> => {
    let all = prompt;
    const give = { voice: { weights: blend.value }, prompt, tokens, temperature, seed };
    await act(words().writing, async (signal) =>
      call('generate', give, { signal, on: (piece) => (written.value = all += piece) }),
    );
  };
  const next = expected.value;
  return (
    <>
      <h3>
        {say.next}{' '}
        {next && (
          <CsvButton
            name={say.next}
            table={() => [
              [
                words().nextToken,
                ...[say.base, say.blend].flatMap((who) => [`${who}: ${words().logit}`, who]),
              ],
              ...next.vocabulary.map((token, id) => [
                token,
                ...[next.base, next.blend].flatMap((one) => [one.logits[id], one.probabilities[id]]),
              ]),
            ]}
          />
        )}
      </h3>
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          void write();
        }}
      >
        <span class="field wide">
          <label for="blend-prompt">{words().prompt}</label>
          <input
            id="blend-prompt"
            value={prompt}
            maxLength={500}
            required
            readOnly={isBusy.value}
            onInput={({ currentTarget }) => choose({ prompt: currentTarget.value })}
          />
        </span>
        <Button class="main" isOff={isBusy.value}>
          {say.writeBlend}
        </Button>
      </form>
      <p class="quiet">{say.nextHelp}</p>
      <div class="pairs">
        {next && (
          <table>
            <TableHead names={[words().nextToken, say.base, say.blend]} />
            <tbody>
              {likeliest(next.blend.probabilities).map((id) => (
                <tr key={id}>
                  <th scope="row">
                    <code>{JSON.stringify(next.vocabulary[id])}</code>
                  </th>
                  <Share of={next.base.probabilities[id]} />
                  <Share of={next.blend.probabilities[id]} />
                </tr>
              ))}
            </tbody>
          </table>
        )}
        <Written text={written.value} />
      </div>
    </>
  );
}

const likeliest = (p: Float32Array): number[] => [...p.keys()].sort((a, b) => p[b] - p[a]).slice(0, TOP);

/** A probability, as long as it is likely. */
const Share = ({ of }: { readonly of: number }): JSX.Element => (
  <td class="share">
    <span style={{ width: `${100 * of}%` }} />
    {number(100 * of, 3)} %
  </td>
);
