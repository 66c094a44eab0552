/** The tape, drawn: from the first call that was recorded down to the loss. */
import type { JSX } from 'preact';
import type { Tape, TapeCall } from '../../../worker/hood-tasks.ts';
import { choose, chosen, type Group, groupsOf, holds, moduleOf, openGroups, toggle } from '../../hood.ts';
import { words } from '../../words/index.ts';
import { type At, Box, Edge, GAP_X, GAP_Y, HEIGHT, WIDTH } from './boxes.tsx';
import { layered } from './layout.ts';

/** Of the line that names an open group. */
const HEAD = 26;
const LANE = 12;

interface Drawn {
  /** Where each call is, or the closed group that has it. */
  readonly calls: ReadonlyMap<number, At>;
  readonly groups: readonly (Group & { readonly at: At; readonly bottom: number })[];
  readonly width: number;
  readonly height: number;
}

function drawn(calls: readonly TapeCall[]): Drawn {
  const at = new Map<number, At>();
  const groups: Drawn['groups'][number][] = [];
  let [y, row, columns] = [0, 0, 1];
  for (const { key, calls: own } of groupsOf(calls)) {
    const here = { x: 0, y, row };
    if (openGroups.value.has(key)) {
      const inputs = (i: number): number[] =>
        calls[i].inputs.flatMap(({ from }) => ('call' in from ? [own.indexOf(from.call)] : []));
      const layers = layered(own.map((i) => ({ from: inputs(i).filter((n) => n >= 0) })));
      own.forEach((i, n) => {
        const { row: deep, column } = layers.places[n];
        at.set(i, {
          x: column * (WIDTH + GAP_X),
          y: y + HEAD + deep * (HEIGHT + GAP_Y),
          row: row + deep,
        });
      });
      y += HEAD + layers.rows * (HEIGHT + GAP_Y);
      row += layers.rows;
      columns = Math.max(columns, layers.columns);
    } else {
      for (const i of own) at.set(i, here);
      y += HEIGHT + GAP_Y;
      row++;
    }
    groups.push({ key, calls: own, at: here, bottom: y });
  }
  return { calls: at, groups, width: columns * (WIDTH + GAP_X) + 2 * LANE + 8, height: y };
}

export function TapeGraph({ tape: { calls } }: { readonly tape: Tape }): JSX.Element {
  const { hood } = words();
  const { calls: at, groups, width, height } = drawn(calls);
  const edges = new Map<string, { from: At; to: At }>();
  calls.forEach(({ inputs }, i) => {
    const to = at.get(i)!;
    for (const { from: source } of inputs) {
      const from = 'call' in source && at.get(source.call)!;
      if (from && from.row < to.row) edges.set(`${from.row},${from.x} ${to.row},${to.x}`, { from, to });
    }
  });
  const boxes = [...new Set(at.values())];
  const left = -width / 2 + 4;
  return (
    <svg
      class="tape"
      role="img"
      aria-label={hood.drawn}
      viewBox={`${left} -4 ${width} ${height}`}
      style={{ maxWidth: `${width}px` }}
    >
      {[...edges].map(([key, edge]) => (
        <Edge key={key} {...edge} all={boxes} lane={width / 2 - LANE} />
      ))}
      {groups.map(({ key, calls: own, at: place, bottom }) => {
        if (!openGroups.value.has(key))
          return (
            <Box
              key={key}
              at={place}
              title={`▸ ${key === 'end' ? hood.end : key.replace('transformer.', '')}`}
              detail={hood.calls(String(own.length))}
              kind={`group ${own.includes(chosen.value) ? 'chosen' : ''}`}
              onChoose={() => toggle(key)}
            />
          );
        return (
          <g key={key}>
            <g class="head" onClick={() => toggle(key)}>
              <rect x={left} y={place.y} width={width - 8} height={HEAD - 8} />
              <line x1={left} x2={left + width - 8} y1={bottom - GAP_Y / 2} y2={bottom - GAP_Y / 2} />
              <text x={left} y={place.y + 13}>
                ▾ {key === 'end' ? hood.end : key}
              </text>
            </g>
            {own.map((i) => (
              <CallBox key={i} call={calls[i]} index={i} at={at.get(i)!} />
            ))}
          </g>
        );
      })}
    </svg>
  );
}

function CallBox({ call, index, at }: { call: TapeCall; index: number; at: At }): JSX.Element {
  const isView = call.forward.ran.length === 0;
  const right = at.x + WIDTH / 2 - 6;
  return (
    <Box
      at={at}
      title={call.op}
      detail={moduleOf(call) || `[${call.shape.join(', ')}]`}
      kind={`${isView ? 'view-only' : ''} ${chosen.value === index ? 'chosen' : ''}`}
      onChoose={() => choose(index)}
    >
      {holds(call, false) && (
        <text class="mark frozen" x={right} y={at.y + 15}>
          W
        </text>
      )}
      {holds(call, true) && (
        <text class="mark learned" x={right} y={at.y + 29}>
          A B
        </text>
      )}
    </Box>
  );
}
