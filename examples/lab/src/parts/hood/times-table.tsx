/** How long the calls take, those of one kind together. */
import type { JSX } from 'preact';
import type { Tape, TapeInput, Times } from '../../../worker/hood-tasks.ts';
import { measure, times } from '../../hood.ts';
import { isBusy } from '../../lab.ts';
import { number, words } from '../../words/index.ts';
import { CsvButton, type Table } from '../csv-button.tsx';
import { kernelName } from './kernel-name.ts';
import { total } from './milliseconds.ts';
import { TableHead } from '../table-head.tsx';

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
const shown = (shape: readonly number[]): string => `[${shape.join(', ')}]`;

export function TimesTable({ tape }: { readonly tape: Tape }): JSX.Element {
  const { hood } = words();
  const found = times.value;
  return (
    <section>
      <h3>
        {hood.timesTitle} <CsvButton name={hood.timesTitle} table={() => all(tape, found)} />
      </h3>
      <p class="quiet">{hood.timesHelp}</p>
      <button type="button" disabled={isBusy.value} onClick={() => void measure()}>
        {hood.measure}
      </button>
      {found && (
        <>
          <p class="verdict" role="note">
            {hood.whole(
              number(found.whole.forward + found.whole.backward, 3),
              number(found.whole.forward, 3),
              number(found.whole.backward, 3),
              number(sum(found.calls.map(total)), 3),
            )}
          </p>
          <Kinds tape={tape} times={found} />
        </>
      )}
    </section>
  );
}

function Kinds({ tape, times: found }: { readonly tape: Tape; readonly times: Times }): JSX.Element {
  const { hood } = words();
  const whole = sum(found.calls.map(total));
  const kinds = [...new Set(tape.calls.map(({ op }) => op))].map((op) => {
    const own = found.calls.filter((_, i) => tape.calls[i].op === op);
    const side = (name: 'forward' | 'backward'): number => sum(own.map((time) => time[name] ?? 0));
    return { op, count: own.length, forward: side('forward'), backward: side('backward') };
  });
  kinds.sort((a, b) => total(b) - total(a));
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={hood.timesTitle}>
      <table>
        <TableHead names={hood.kindHead} />
        <tbody>
          {kinds.map((kind) => (
            <tr key={kind.op}>
              <th scope="row">
                {kind.op} × {kind.count}
              </th>
              <td>{number(kind.forward, 3)}</td>
              <td>{number(kind.backward, 3)}</td>
              <td class="share">
                <span style={{ width: `${(100 * total(kind)) / whole}%` }} />
                {number((100 * total(kind)) / whole, 3)} %
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Every call, with or without its time. */
function all(tape: Tape, found: Times | undefined): Table {
  const asked = (inputs: readonly TapeInput[], wanted: boolean): string =>
    inputs
      .filter(({ isAsked }) => isAsked === wanted)
      .map(
        ({ from, shape }) =>
          `${'parameter' in from ? from.parameter : 'call' in from ? from.call : from.other} ${shown(shape)}`,
      ) // prettier-ignore
      .join('; ');
  return [
    words().hood.callHead,
    ...tape.calls.map(({ op, path, inputs, shape, forward, backward }, i) => [
      i,
      op,
      path,
      asked(inputs, true),
      asked(inputs, false),
      shown(shape),
      forward.kernels.map(kernelName).join(' '),
      backward.kernels.map(kernelName).join(' '),
      found?.calls[i].forward ?? '',
      found?.calls[i].backward ?? '',
    ]),
  ];
}
