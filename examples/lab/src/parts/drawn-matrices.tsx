/** h = W x + (α/r) B A x, each matrix as large beside the others as it is. */
import type { ComponentChildren, JSX } from 'preact';
import type { CountedMatrix } from '../../worker/count-tasks.ts';
import { number, words } from '../words/index.ts';

/** What is thinner is drawn as a line, since no screen shows it. */
const THINNEST = 1 / 100;

interface BoxProps {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  /** Numbers along the longest side of all. */
  readonly longest: number;
  readonly kind: 'frozen' | 'learned' | 'sum' | 'vector';
}

function Box({ name, rows, columns, longest, kind }: BoxProps): JSX.Element {
  const side = (n: number): string => `calc(var(--side) * ${n / longest})`;
  return (
    <span class="cell">
      <span class={`box ${kind}`} data-matrix={name} style={{ width: side(columns), height: side(rows) }} />
      <small>
        <b>{name}</b> [{columns === 1 ? rows : `${rows}, ${columns}`}]
        {kind !== 'vector' && <i>{words().formula.kinds[kind]}</i>}
      </small>
    </span>
  );
}

const Sign = ({ children, below }: { children: ComponentChildren; below?: string }): JSX.Element => (
  <span class="cell sign">
    <span>{children}</span>
    <small>{below}</small>
  </span>
);

export interface DrawnMatricesProps {
  readonly matrix: CountedMatrix;
  readonly r: number;
  readonly scale: number;
}

export function DrawnMatrices({ matrix, r, scale }: DrawnMatricesProps): JSX.Element {
  const { in: from, out, name } = matrix;
  const longest = Math.max(from, out);
  const common = { longest };
  const s = number(scale, 3);
  const B = <Box {...common} name="B" rows={out} columns={r} kind="learned" />;
  const A = <Box {...common} name="A" rows={r} columns={from} kind="learned" />;
  const x = <Box {...common} name="x" rows={from} columns={1} kind="vector" />;
  const times = number(longest / r, 3);
  return (
    <figure class="drawn">
      <div class="picture" role="img" aria-label={words().formula.picture(name, out, from, r, times)}>
        <div class="terms">
          <span class="term">
            <Box {...common} name="h" rows={out} columns={1} kind="vector" />
            <Sign>=</Sign>
            <Box {...common} name="W" rows={out} columns={from} kind="frozen" />
            {x}
          </span>
          <span class="term">
            <Sign>+</Sign>
            <Sign below="α/r">{s}</Sign>
            {B}
            {A}
            {x}
          </span>
        </div>
        <div class="terms">
          <span class="term">
            <Box {...common} name="ΔW" rows={out} columns={from} kind="sum" />
            <Sign>=</Sign>
          </span>
          <span class="term">
            <Sign below="α/r">{s}</Sign>
            {B}
            {A}
          </span>
        </div>
      </div>
      <figcaption>
        {words().formula.thin(times)} {r / longest < THINNEST && words().formula.tooThin}
      </figcaption>
    </figure>
  );
}
