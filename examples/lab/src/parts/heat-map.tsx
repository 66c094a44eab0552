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
}

/** How much wider than high a picture is at most. */
const WIDEST = 16;

export function HeatMap({ name, numbers, turned = false }: HeatMapProps): JSX.Element {
  const { rows, columns, data } = numbers;
  const [height, width] = turned ? [columns, rows] : [rows, columns];
  const canvas = useRef<HTMLCanvasElement>(null);
  /** Down and right, as it is drawn. */
  const [at, setAt] = useState<readonly [number, number] | undefined>(undefined);
  const largest = data.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const says =
    largest === 0
      ? words().exactlyZero(number(data.length))
      : words().largestIs(number(largest, 3), number(Math.hypot(...data), 3));
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
    const [i, j] = turned ? [at[1], at[0]] : at;
    return words().cell(name, i, j, number(data[i * columns + j], 6));
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
        style={{ aspectRatio: String(Math.min(WIDEST, width / height)) }}
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
