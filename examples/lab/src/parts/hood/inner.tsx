/** What a call is composed of: of an adapted matrix, W x and beside it x → A → B → s → +. */
import type { JSX } from 'preact';
import type { TapeCall } from '../../../worker/hood-tasks.ts';
import { OP_FORMULAS, plain } from '../../op-formulas.ts';
import { number, words } from '../../words/index.ts';
import { type At, Box, Edge, GAP_X, GAP_Y, HEIGHT, WIDTH } from './boxes.tsx';
import { layered } from './layout.ts';

const LANE = 12;

export function Inner({ call }: { readonly call: TapeCall }): JSX.Element {
  const { inner, inputs, op } = call;
  const symbols = OP_FORMULAS[op]?.symbols(inputs.length) ?? [];
  const { places, rows, columns } = layered(
    inner.map(({ from }) => ({ from: from.flatMap((one) => ('call' in one ? [one.call] : [])) })),
  );
  const at = places.map(({ row, column }): At => ({
    x: column * (WIDTH + GAP_X),
    y: row * (HEIGHT + GAP_Y),
    row,
  }));
  const width = columns * (WIDTH + GAP_X) + 2 * LANE;
  const reads = (i: number): string[] => [
    ...inner[i].from.flatMap((one) => ('input' in one ? [plain(symbols[one.input] ?? `x${one.input}`)] : [])),
    ...inner[i].scalars.map((x) => number(x)),
  ];
  const kindOf = (i: number): string => {
    const own = inner[i].from.flatMap((one) => ('input' in one ? [inputs[one.input]] : []));
    if (own.some(({ from }) => 'parameter' in from && from.isTrained)) return 'learned';
    return own.some(({ from }) => 'parameter' in from) ? 'frozen' : '';
  };
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={words().hood.madeOf}>
      <svg
        class="tape"
        role="img"
        aria-label={inner
          .map((one, i) => `${one.op}(${reads(i).join(', ')}) [${one.shape.join(', ')}]`)
          .join(' → ')}
        viewBox={`${-width / 2} -2 ${width} ${rows * (HEIGHT + GAP_Y)}`}
        style={{ width: `${width}px` }}
      >
        {inner.flatMap(({ from }, i) =>
          from.flatMap((one) =>
            'call' in one ? (
              <Edge
                key={`${one.call} ${i}`}
                from={at[one.call]}
                to={at[i]}
                all={at}
                lane={width / 2 - LANE}
              />
            ) : (
              []
            ),
          ),
        )}
        {inner.map((one, i) => (
          <Box
            key={i}
            at={at[i]}
            title={[one.op, ...reads(i)].join(' ')}
            detail={`[${one.shape.join(', ')}]`}
            kind={kindOf(i)}
          />
        ))}
      </svg>
    </div>
  );
}
