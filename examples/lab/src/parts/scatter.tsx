/** Differences on a logarithmic scale, under the line that they must stay below. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { JSX } from 'preact';
import { isDark } from '../colours.ts';
import { number, words } from '../words/index.ts';
import { CsvButton } from './csv-button.tsx';

export interface ScatterProps {
  readonly title: string;
  readonly values: readonly number[];
  readonly bound: number;
  /** Of each value. */
  readonly names: readonly string[];
}
/** In CSS pixels; LEFT is for the scale’s numbers. */
const [HEIGHT, LEFT] = [220, 56];

export function Scatter({ title, values, bound, names }: ScatterProps): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [at, setAt] = useState<number | undefined>(undefined);
  const [width, setWidth] = useState(800);
  useEffect(() => {
    const watch = new ResizeObserver(() => setWidth(canvas.current!.clientWidth));
    watch.observe(canvas.current!);
    return () => watch.disconnect();
  }, []);
  const top = Math.log10(Math.max(bound, ...values)) + 0.5;
  const bottom = top - 5;
  const y = (value: number): number =>
    value > 0 ? Math.min(1, (top - Math.log10(value)) / (top - bottom)) * (HEIGHT - 24) + 8 : HEIGHT - 10;
  useEffect(() => {
    const context = canvas.current!.getContext('2d')!;
    const [ink, mark, line] = isDark()
      ? ['#e8eaf0', '#60a5fa', '#fb923c']
      : ['#1b1e25', '#1e5ebe', '#c25408'];
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.clearRect(0, 0, width, HEIGHT);
    context.fillStyle = mark;
    values.forEach((value, i) =>
      context.fillRect(LEFT + (i / values.length) * (width - LEFT - 4), y(value) - 1, 2, 2),
    );
    context.strokeStyle = line;
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(LEFT, y(bound));
    context.lineTo(width, y(bound));
    context.stroke();
    context.fillStyle = ink;
    context.font = '12px system-ui, sans-serif';
    for (let power = Math.ceil(bottom); power <= top; power++)
      context.fillText(`1e${power}`, 4, y(10 ** power) + 4);
    context.fillText('0', 4, y(0) + 4);
    context.textAlign = 'right';
    context.fillText(`${words().boundLabel} ${number(bound, 3)}`, width - 4, y(bound) - 6);
    context.textAlign = 'left';
  });
  const largest = Math.max(...values);
  const move = (by: number): void => setAt(Math.min(values.length - 1, Math.max(0, (at ?? 0) + by)));
  return (
    <figure class="series">
      <figcaption>
        {title}{' '}
        <CsvButton
          name={title}
          table={() => [
            [words().nextToken, words().difference],
            ...values.map((value, i) => [names[i], value]),
          ]}
        />
      </figcaption>
      <canvas
        ref={canvas}
        width={Math.round(width * devicePixelRatio)}
        height={Math.round(HEIGHT * devicePixelRatio)}
        style={{ height: HEIGHT }}
        role="img"
        tabIndex={0}
        aria-label={`${title}. ${words().largestIs(number(largest, 3), number(Math.hypot(...values), 3))} ${words().boundLabel} ${number(bound, 3)}. ${words().heatHelp}`}
        onPointerMove={({ clientX }) => {
          const box = canvas.current!.getBoundingClientRect();
          const share = (clientX - box.left - LEFT) / (width - LEFT - 4);
          setAt(Math.min(values.length - 1, Math.max(0, Math.floor(share * values.length))));
        }}
        onPointerLeave={() => setAt(undefined)}
        onKeyDown={(event) => {
          if (event.key === 'ArrowLeft') move(-1);
          else if (event.key === 'ArrowRight') move(1);
          else return;
          event.preventDefault();
        }}
      />
      <p class="reading" aria-live="polite">
        {at === undefined
          ? `${words().vocabulary(number(values.length - 1))}. ${words().largestIs(number(largest, 3), number(Math.hypot(...values), 3))}`
          : `${JSON.stringify(names[at])}: ${number(values[at], 4)}`}
      </p>
    </figure>
  );
}
