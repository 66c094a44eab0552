/** What the graphs are drawn of. Pointers alone find their way here: the same is in lists, for everyone. */
import type { ComponentChildren, JSX } from 'preact';

export const [WIDTH, HEIGHT, GAP_X, GAP_Y] = [126, 36, 8, 14];

export interface At {
  /** Of the middle of its upper edge. */
  readonly x: number;
  readonly y: number;
  /** Counted from above, over all that is drawn. */
  readonly row: number;
}
export interface BoxProps {
  readonly at: At;
  readonly title: string;
  readonly detail: string;
  readonly kind?: string;
  readonly onChoose?: () => void;
  readonly children?: ComponentChildren;
}

export function Box({ at, title, detail, kind = '', onChoose, children }: BoxProps): JSX.Element {
  const left = at.x - WIDTH / 2;
  return (
    <g class={`call ${kind}`} onClick={onChoose}>
      <rect x={left} y={at.y} width={WIDTH} height={HEIGHT} rx={6} />
      <text x={left + 8} y={at.y + 15}>
        {title}
      </text>
      <text class="detail" x={left + 8} y={at.y + 29}>
        {detail}
      </text>
      {children}
    </g>
  );
}

/** From one box to another below it; where others are in the way, by the lane at the side. */
export function Edge({
  from,
  to,
  all,
  lane,
}: {
  readonly from: At;
  readonly to: At;
  readonly all: readonly At[];
  readonly lane: number;
}): JSX.Element {
  const isFree = !all.some(
    ({ x, row }) => from.row < row && row < to.row && Math.abs(x - from.x) < WIDTH + GAP_X,
  );
  const last = to.y - GAP_Y;
  const [out, into] = [from, to].map(({ y }) => y + HEIGHT / 2);
  const d = isFree
    ? `M ${from.x} ${from.y + HEIGHT} V ${last} C ${from.x} ${to.y}, ${to.x} ${last}, ${to.x} ${to.y}`
    : `M ${from.x + WIDTH / 2} ${out} H ${lane - 8} q 8 0 8 8 V ${into - 8} q 0 8 -8 8 H ${to.x + WIDTH / 2}`;
  return <path class="edge" d={d} />;
}
