/** Colours that mean something: also to those who see red and green alike, and on light and dark. */
import { effect, signal } from '@preact/signals';
import type { Learner, Numbers } from '../worker/tasks.ts';
import { keep, kept } from './kept.ts';

export type Theme = 'auto' | 'light' | 'dark';
const stored = kept('theme');
export const theme = signal<Theme>(stored === 'light' || stored === 'dark' ? stored : 'auto');
const system = matchMedia('(prefers-color-scheme: dark)');
const systemDark = signal(system.matches);
system.addEventListener('change', ({ matches }) => void (systemDark.value = matches));
export const isDark = (): boolean => (theme.value === 'auto' ? systemDark.value : theme.value === 'dark');
effect(() => {
  keep('theme', theme.value === 'auto' ? undefined : theme.value);
  document.documentElement.style.colorScheme = isDark() ? 'dark' : 'light';
});

type Rgb = readonly [number, number, number];
/** Below zero, zero, above: blue and orange, which nobody mistakes for one another. */
const scale = (): readonly [Rgb, Rgb, Rgb] =>
  isDark()
    ? [[96, 165, 250], [24, 27, 34], [251, 146, 60]]
    : [[30, 94, 190], [252, 252, 253], [194, 84, 8]]; // prettier-ignore

/** The grey of what is no number. */
const NONE = 128;

/** One pixel a number, the matrix on its side if it is `turned`; the square root lets small ones be seen. */
export function paint(
  canvas: HTMLCanvasElement,
  { rows, columns, data }: Numbers,
  turned: boolean,
  largest: number,
): void {
  const context = canvas.getContext('2d')!;
  const image = context.createImageData(canvas.width, canvas.height);
  const [below, zero, above] = scale();
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) {
      const x = data[i * columns + j];
      const share = largest > 0 ? Math.sqrt(Math.abs(x) / largest) : 0;
      const end = x < 0 ? below : above;
      const pixel = 4 * (turned ? j * rows + i : i * columns + j);
      zero.forEach(
        (from, channel) =>
          (image.data[pixel + channel] = Number.isNaN(x) ? NONE : from + (end[channel] - from) * share),
      );
      image.data[pixel + 3] = 255;
    }
  context.putImageData(image, 0, 0);
}

/** Each with a dash of its own, so that colour is never the only difference. */
export const lineOf = (learner: Learner): { readonly stroke: string; readonly dash: number[] } =>
  ({
    lora: { stroke: isDark() ? '#fb923c' : '#c25408', dash: [] },
    full: { stroke: isDark() ? '#60a5fa' : '#1e5ebe', dash: [8, 4] },
    base: { stroke: isDark() ? '#a1a1aa' : '#6b7280', dash: [2, 3] },
  })[learner];
