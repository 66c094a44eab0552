/** A matrix as colours, each of whose numbers can be asked for by pointer and keys. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { JSX } from 'preact';
import type { Numbers } from '../../worker/tasks.ts';
import { isDark, paint } from '../colours.ts';
import { number, words } from '../words/index.ts';
import { CsvButton } from './csv-button.tsx';

export interface HeatMapProps {
  /** As the paper calls it. */
  readonly name: string;
  readonly numbers: Numbers;
  /** Drawn on its side, as a tall matrix finds its place: rows run to the right. */
  readonly turned?: boolean;
  /** Each number a pixel, or a square of some. */
  readonly atScale?: boolean;
  /** What the full colour stands for; by default the largest number. */
  readonly largest?: number;
  /** What is said of all of it, and of one number. */
  readonly says?: string;
  readonly cell?: (i: number, j: number, value: number) => string;
}

/** How much wider than high a picture is at most. */
const WIDEST = 16;
/** How many pixels wide or high one is made if its numbers are few, at scale. */
const SIDE = 400;

export function HeatMap({
  name,
  numbers,
  turned = false,
  atScale = false,
  ...given
}: HeatMapProps): JSX.Element {
  const { rows, columns, data } = numbers;
  const [height, width] = turned ? [columns, rows] : [rows, columns];
  const canvas = useRef<HTMLCanvasElement>(null);
  /** Down and right, as it is drawn. */
  const [at, setAt] = useState<readonly [number, number] | undefined>(undefined);
  const largest = given.largest ?? data.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const norm = (): number => largest * Math.sqrt(data.reduce((sum, x) => sum + (x / largest) ** 2, 0));
  const says =
    given.says ??
    (largest === 0
      ? words().exactlyZero(number(data.length))
      : words().largestIs(number(largest, 3), number(norm(), 3)));
  useEffect(() => paint(canvas.current!, numbers, turned, largest), [numbers, turned, isDark()]);

  const within = (i: number, n: number): number => Math.min(n - 1, Math.max(0, i));
  const point = ({ clientX, clientY }: PointerEvent): void => {
    const box = canvas.current!.getBoundingClientRect();
    const down = Math.floor(((clientY - box.top) / box.height) * height);
    const right = Math.floor(((clientX - box.left) / box.width) * width);
    setAt([within(down, height), within(right, width)]);
  };
  const move = (event: KeyboardEvent): void => {
    const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!by) return;
    event.preventDefault();
    const [down, right] = at ?? [0, 0];
    setAt([within(down + by[0], height), within(right + by[1], width)]);
  };
  const reading = (): string => {
    if (!at) return says;
    const [down, right] = [within(at[0], height), within(at[1], width)]; // the matrix may be another by now
    const [i, j] = turned ? [right, down] : [down, right];
    const value = data[i * columns + j];
    return given.cell?.(i, j, value) ?? words().cell(name, i, j, number(value, 6));
  };
  const table = (): number[][] =>
    Array.from({ length: rows }, (_, i) => [...data.subarray(i * columns, (i + 1) * columns)]);
  return (
    <figure class="heat">
      <figcaption>
        <b>{name}</b> [{rows}, {columns}] {turned && <small>{words().turned}</small>}{' '}
        <CsvButton name={name} table={table} />
      </figcaption>
      <canvas
        ref={canvas}
        width={width}
        height={height}
        style={{
          aspectRatio: String(Math.min(WIDEST, width / height)),
          ...(atScale && scaled(width, height)),
        }}
        role="img"
        tabIndex={0}
        aria-label={`${name} [${rows}, ${columns}]. ${says} ${words().heatHelp}`}
        onPointerMove={point}
        onPointerLeave={() => setAt(undefined)}
        onKeyDown={move}
        onFocus={() => setAt(at ?? [0, 0])}
        onBlur={() => setAt(undefined)}
      />
      <p class="reading" aria-live="polite">
        {reading()}
      </p>
    </figure>
  );
}

const scaled = (width: number, height: number): { width: string; minHeight: string } => ({
  width: `${width * Math.max(1, Math.floor(SIDE / Math.max(width, height)))}px`,
  minHeight: '0',
});
