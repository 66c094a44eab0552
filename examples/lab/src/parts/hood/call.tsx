/** One call of the tape: what it reads and gives, its formula and gradients, its source, its kernels and its time. */
import type { JSX } from 'preact';
import type { From, Pass, Tape, TapeCall } from '../../../worker/hood-tasks.ts';
import { chosen, times } from '../../hood.ts';
import { opened } from '../../lab.ts';
import { gradientOf, OP_FORMULAS } from '../../op-formulas.ts';
import { number, words } from '../../words/index.ts';
import { CodeLink } from '../source-link.tsx';
import { Tex } from '../tex.tsx';
import { Inner } from './inner.tsx';
import { kernelName } from './kernel-name.ts';
import { TableHead } from '../table-head.tsx';

const shown = (shape: readonly number[]): string => `[${shape.join(', ')}]`;

export function CallDetails({ tape }: { readonly tape: Tape }): JSX.Element {
  const { hood, source } = words();
  const index = chosen.value;
  const call = tape.calls[index];
  const formula = OP_FORMULAS[call.op];
  const time = times.value?.calls[index];
  return (
    <section class="call-details" aria-labelledby="hood-call">
      <h3 id="hood-call">
        {index} {call.op} <small>{call.path}</small>
      </h3>
      {formula && (
        <p class="formulas">
          <Tex>{`\\displaystyle ${formula.y}`}</Tex>
          {formula.where && <Tex>{formula.where}</Tex>}
        </p>
      )}
      <Inputs tape={tape} call={call} />
      <p>
        {hood.gives} <b>{shown(call.shape)}</b>
        {call.attrs && (
          <>
            {' · '}
            <code>{call.attrs}</code>
          </>
        )}
      </p>
      {call.expression && (
        <p>
          {hood.expression} <code>{call.expression.y}</code>
          {call.expression.gradient && (
            <>
              <br />
              {hood.derived} <code>{call.expression.gradient}</code>
            </>
          )}
        </p>
      )}
      {formula && (
        <p>
          <CodeLink source={formula.source}>
            {source}: <code>{formula.source.file.split('/').at(-1)!}</code>
          </CodeLink>
        </p>
      )}
      {time && (
        <p>
          {hood.time(
            time.forward === undefined ? hood.nothing : `${number(time.forward, 3)} ms`,
            time.backward === undefined ? hood.nothing : `${number(time.backward, 3)} ms`,
          )}
        </p>
      )}
      {call.inner.length > 1 && (
        <>
          <h4>{hood.madeOf}</h4>
          <Inner call={call} />
        </>
      )}
      <h4>{hood.kernels}</h4>
      {opened.value?.device.startsWith('webgpu') === false && <p class="quiet">{hood.noWgsl}</p>}
      <Kernels name={hood.forward} pass={call.forward} tape={tape} />
      <Kernels name={hood.backward} pass={call.backward} tape={tape} />
    </section>
  );
}

function Inputs({ tape, call }: { readonly tape: Tape; readonly call: TapeCall }): JSX.Element {
  const { hood } = words();
  const formula = OP_FORMULAS[call.op];
  const symbols = formula?.symbols(call.inputs.length) ?? [];
  const name = (from: From): string => {
    if ('call' in from) return `${from.call} ${tape.calls[from.call].op}`;
    return 'parameter' in from ? from.parameter.replace(`${call.path}.`, '') : hood.from[from.other];
  };
  const kind = (from: From): string => ('parameter' in from && from.isTrained ? 'learned' : '');
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={hood.inputs}>
      <table class="inputs wrapping">
        <TableHead names={hood.inputHead} />
        <tbody>
          {call.inputs.map(({ from, shape, isAsked }, i) => (
            <tr key={i}>
              <td>{symbols[i] ? <Tex>{symbols[i]}</Tex> : i}</td>
              <th scope="row" class={kind(from)}>
                {name(from)}
                {'parameter' in from && <small> {from.isTrained ? hood.trained : hood.frozen}</small>}
              </th>
              <td class="shape">{shown(shape)}</td>
              <td>
                {isAsked ? (
                  formula && symbols[i] && <Tex>{gradientOf(formula, symbols[i]) ?? 'g'}</Tex>
                ) : (
                  <span class="quiet">{hood.notAsked}</span>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Kernels({ name, pass, tape }: { name: string; pass: Pass; tape: Tape }): JSX.Element {
  const { hood } = words();
  const files = [...new Set(pass.kernels)];
  return (
    <p class="kernels">
      {name}:{' '}
      {files.length === 0
        ? hood.nothing
        : files.map((file, i) => (
            <span key={file}>
              {i > 0 && ', '}
              <CodeLink
                source={{
                  file: file.startsWith('map ') ? hood.mapKernel : file,
                  load: async () => ({ default: tape.kernels[file] }),
                }}
              >
                <code>{kernelName(file)}</code>
              </CodeLink>
              {often(pass, file)}
            </span>
          ))}
    </p>
  );
}
const often = ({ kernels }: Pass, file: string): string => {
  const n = kernels.filter((one) => one === file).length;
  return n > 1 ? ` × ${n}` : '';
};
