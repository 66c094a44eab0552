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
}

export function Series({ title, steps, curves }: SeriesProps): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>();
  const names = Object.keys(curves) as Learner[];
  const data: uPlot.AlignedData = [[...steps], ...names.map((name) => [...curves[name]!])];
  const look = `${names.join()} ${isDark()} ${words().title}`;
  useEffect(() => {
    const ink = isDark() ? '#e8eaf0' : '#1b1e25';
    const grid = { stroke: isDark() ? '#363b46' : '#e3e5ea', width: 1 };
    const made = new uPlot(
      {
        width: place.current!.clientWidth,
        height: 220,
        legend: { live: true },
        scales: { x: { time: false } },
        axes: [{ stroke: ink, grid }, { stroke: ink, grid, size: 56 }],
        series: [{ label: words().steps }, ...names.map((name) => ({ label: words().learners[name], ...lineOf(name), width: 2, spanGaps: true, points: { show: steps.length < 30 } }))],
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
            [words().steps, ...names.map((name) => words().learners[name])],
            ...steps.map((step, i) => [step, ...names.map((name) => curves[name]![i] ?? '')]),
          ]}
        />
      </figcaption>
      <div
        ref={place}
        role="img"
        aria-label={`${title}. ${steps.length > 0 ? last.join(', ') : words().nothingYet}`}
      />
    </figure>
  );
}
