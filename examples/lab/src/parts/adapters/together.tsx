/** One batch, a row of which is written by the base and each other one by an adapter. */
import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import type { Together as Compared } from '../../../worker/shelf-tasks.ts';
import { isBusy } from '../../lab.ts';
import { shelf, writeTogether } from '../../shelf.ts';
import { number, words } from '../../words/index.ts';
import { Button } from '../button.tsx';
import { TableHead } from '../table-head.tsx';

/** Rows of a batch. */
const MOST = 8;

// What stays while another view is open.
const names = signal<readonly (string | null)[]>([]);
const written = signal<readonly string[]>([]);
const found = signal<Compared | undefined>(undefined);

export function Together(): JSX.Element {
  const compared = found.value;
  const say = words().shelf;
  const rows = [null, ...shelf.value.adapters.map(({ name }) => name)].slice(0, MOST);
  const write = async (): Promise<void> => {
    names.value = rows;
    found.value = undefined;
    found.value = await writeTogether(rows, (next) => (written.value = next));
  };
  return (
    <>
      <h3>{say.together}</h3>
      <p>{say.togetherHelp(number(rows.length))}</p>
      <Button type="button" class="main" isOff={isBusy.value} onClick={() => void write()}>
        {say.writeTogether}
      </Button>
      {written.value.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label={say.together}>
          <table>
            <TableHead names={[words().voice, words().written]} />
            <tbody>
              {names.value.map((name, i) => (
                <tr key={name}>
                  <th scope="row">{name ?? say.base}</th>
                  <td>{written.value[i]}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <p class="verdict" role="note">
        {compared &&
          (compared.difference === 0
            ? say.sameBits(number(compared.count))
            : say.sameTogether(
                number(compared.count),
                number(compared.difference, 3),
                number(compared.largest, 3),
              ))}
      </p>
    </>
  );
}
