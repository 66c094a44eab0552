import { Writable } from 'node:stream';
import { expect, it } from 'vitest';
import { bytes, clock, count, progressLine } from '../../examples/finetune/progress.ts';

it('writes times, sizes and counts', () => {
  expect([0, 59.4, 59.6, 65, 119.7, 3600].map(clock)).toEqual([
    '0:00',
    '0:59',
    '1:00',
    '1:05',
    '2:00',
    '60:00',
  ]);
  expect([0, 9999, 10_000, 999_499, 1_234_567].map(bytes)).toEqual([
    '0 B',
    '9999 B',
    '10 kB',
    '999 kB',
    '1.2 MB',
  ]);
  expect(count(1_234_567)).toBe('1,234,567');
});

/** What is written to a terminal of this width; undefined is a file or a pipe. */
function written(
  columns: number | undefined,
  use: (progress: ReturnType<typeof progressLine>) => void,
): string {
  let all = '';
  const out = new Writable({
    decodeStrings: false,
    write: (chunk: string, _, done) => ((all += chunk), done()),
  });
  use(
    progressLine(
      Object.assign(out, { isTTY: columns !== undefined, columns }) as unknown as NodeJS.WriteStream,
    ),
  );
  return all;
}

it('a terminal has one line, rewritten and never broken', () => {
  const clear = '\r\x1b[2K';
  const steps = (columns: number): string =>
    written(columns, (progress) => {
      progress.show('step 1/2');
      progress.show('step 2/2');
      progress.done('trained');
      progress.done();
    });
  expect(steps(80)).toBe(`${clear}step 1/2${clear}step 2/2${clear}trained\n${clear}`);
  expect(steps(0)).toBe(steps(80)); // some do not know their width
  expect(steps(6)).toBe(`${clear}step ${clear}step ${clear}train\n${clear}`);
});

it('a pipe has whole lines, one now and then', () => {
  const lines = written(undefined, (progress) => {
    for (let i = 0; i < 100; i++) progress.show(`step ${i}`);
    progress.done('trained');
    progress.done();
  });
  expect(lines).toMatch(/^(step 0\n)?trained\n$/);
});
