/** Curves over steps, drawn by uPlot. */
import { useEffect, useRef } from 'preact/hooks';
import type { JSX } from 'preact';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { Learner } from '../../worker/tasks.ts';
import { isDark, lineOf } from '../colours.ts';
import { number, words } from '../words/index.ts';
import { CsvButton } from './csv-button.tsx';

export interface SeriesProps {
  readonly title: string;
  readonly steps: readonly number[];
  readonly curves: Readonly<Partial<Record<Learner, readonly (number | null)[]>>>;
  /** What is counted along the axis; by default steps. */
  readonly along?: string;
  /** On a logarithmic scale, from here up. */
  readonly logFrom?: number;
  /** A line across. */
  readonly mark?: { readonly at: number; readonly name: string };
  /** What is said of it; by default the last values. */
  readonly says?: string;
}

export function Series({ title, steps, curves, logFrom, mark, ...given }: SeriesProps): JSX.Element {
  const along = given.along ?? words().steps;
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>();
  const names = Object.keys(curves) as Learner[];
  const data: uPlot.AlignedData = [[...steps], ...names.map((name) => [...curves[name]!])];
  const look = JSON.stringify([names, isDark(), words().title, along, logFrom, mark]);
  useEffect(() => {
    const ink = isDark() ? '#e8eaf0' : '#1b1e25';
    const grid = { stroke: isDark() ? '#363b46' : '#e3e5ea', width: 1 };
    const made = new uPlot(
      {
        width: place.current!.clientWidth,
        height: 220,
        legend: { live: true },
        scales: { x: { time: false }, ...(logFrom !== undefined && { y: { distr: 3, range: (_, __, most) => [logFrom, most * 2] } }) },
        hooks: { drawAxes: mark ? [(u) => drawMark(u, mark, ink)] : [] },
        axes: [{ stroke: ink, grid }, { stroke: ink, grid, size: 56, ...(logFrom !== undefined && { values: (_, ticks) => ticks.map((y) => (y === null ? '' : number(y, 2))) }) }],
        series: [{ label: along }, ...names.map((name) => ({ label: words().learners[name], ...lineOf(name), value: (_: uPlot, y: number | null) => (y === null ? '--' : number(y)), width: 2, spanGaps: true, points: { show: steps.length < 30 } }))],
      },
      data,
      place.current!,
    ); // prettier-ignore
    plot.current = made;
    const watch = new ResizeObserver(() => made.setSize({ width: place.current!.clientWidth, height: 220 }));
    watch.observe(place.current!);
    return () => {
      watch.disconnect();
      made.destroy();
    };
  }, [look]);
  useEffect(() => plot.current?.setData(data));
  const last = names.map(
    (name) => `${words().learners[name]} ${number(curves[name]!.findLast((y) => y !== null) ?? NaN, 3)}`,
  );
  return (
    <figure class="series">
      <figcaption>
        {title}{' '}
        <CsvButton
          name={title}
          table={() => [
            [along, ...names.map((name) => words().learners[name])],
            ...steps.map((step, i) => [step, ...names.map((name) => curves[name]![i] ?? '')]),
          ]}
        />
      </figcaption>
      <div
        ref={place}
        role="img"
        aria-label={`${title}. ${given.says ?? (steps.length > 0 ? last.join(', ') : words().nothingYet)}`}
      />
    </figure>
  );
}

function drawMark(plot: uPlot, { at, name }: { at: number; name: string }, ink: string): void {
  const { ctx, bbox } = plot;
  const x = plot.valToPos(at, 'x', true);
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = ink;
  ctx.setLineDash([2 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.textAlign = 'left';
  ctx.fillText(name, x + 6 * devicePixelRatio, bbox.top + 14 * devicePixelRatio);
  ctx.restore();
}
