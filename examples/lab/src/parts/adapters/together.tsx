/** One batch, a row of which is written by the base and each other one by an adapter. */
import { useState } from 'preact/hooks';
import type { JSX } from 'preact';
import type { Together as Compared } from '../../../worker/tasks-shelf.ts';
import { isBusy } from '../../lab.ts';
import { shelf, writeTogether } from '../../shelf.ts';
import { number, words } from '../../words/index.ts';

/** Rows of a batch. */
const MOST = 8;

export function Together(): JSX.Element {
  const [names, setNames] = useState<readonly (string | null)[]>([]);
  const [written, setWritten] = useState<readonly string[]>([]);
  const [compared, setCompared] = useState<Compared | undefined>(undefined);
  const say = words().shelf;
  const rows = [null, ...shelf.value.adapters.map(({ name }) => name)].slice(0, MOST);
  const write = async (): Promise<void> => {
    setNames(rows);
    setCompared(undefined);
    setCompared(await writeTogether(rows, setWritten));
  };
  return (
    <>
      <h3>{say.together}</h3>
      <p>{say.togetherHelp(number(rows.length))}</p>
      <button type="button" class="main" disabled={isBusy.value} onClick={() => void write()}>
        {say.writeTogether}
      </button>
      {written.length > 0 && (
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">{words().voice}</th>
                <th scope="col">{words().written}</th>
              </tr>
            </thead>
            <tbody>
              {names.map((name, i) => (
                <tr key={name}>
                  <th scope="row">{name ?? say.base}</th>
                  <td>{written[i]}</td>
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
