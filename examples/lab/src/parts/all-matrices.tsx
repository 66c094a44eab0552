/** Of every matrix that has an adapter: how large its change is, and what it amplifies. */
import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import type { Everywhere } from '../../worker/learned-tasks.ts';
import { act, call, isBusy, progress } from '../lab.ts';
import { version } from '../run.ts';
import { number, words } from '../words/index.ts';
import { Button } from './button.tsx';
import { CsvButton } from './csv-button.tsx';
import { TableHead } from './table-head.tsx';

// What stays while another view is open.
const seen = signal<{ readonly version: number; readonly rows: readonly Everywhere[] } | undefined>(
  undefined,
);

export function AllMatrices({ onChoose }: { readonly onChoose: (path: string) => void }): JSX.Element {
  const rows = seen.value?.version === version.value ? seen.value.rows : [];
  const { everywhere: said, amplification } = words().learned;
  const look = async (): Promise<void> => {
    const result = await act(said.looking, async (signal) =>
      call('everywhere', undefined, {
        signal,
        on: ({ done, total }) => void (progress.value = done / total),
      }),
    );
    if (result) seen.value = { version: version.value, rows: result };
  };
  const values = (row: Everywhere): (number | undefined)[] => [row.weight, row.delta, row.effectiveRank, row.factor]; // prettier-ignore
  return (
    <section>
      <h3>{said.title}</h3>
      {rows.length === 0 ? (
        <Button type="button" heir="all-matrices" isOff={isBusy.value} onClick={() => void look()}>
          {said.look}
        </Button>
      ) : (
        <div id="all-matrices" class="scroll tall" tabIndex={0} role="region" aria-label={said.title}>
          <table>
            <caption>
              <CsvButton
                name={said.title}
                table={() => [
                  said.head,
                  ...rows.map((row) => [row.path, ...values(row).map((x) => x ?? '')]),
                ]}
              />
            </caption>
            <TableHead names={said.head} />
            <tbody>
              {rows.map((row) => (
                <tr key={row.path}>
                  <th scope="row">
                    <button
                      type="button"
                      class="link"
                      disabled={isBusy.value}
                      onClick={() => onChoose(row.path)}
                    >
                      {row.path}
                    </button>
                  </th>
                  {values(row).map((x, i) => (
                    <td key={i}>{x === undefined ? amplification.none : number(x, 4)}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
