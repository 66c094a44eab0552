/** One line that is rewritten on a terminal; into a file or a pipe, a line now and then. */
export interface Progress {
  show(line: string): void;
  /** Ends the line. */
  done(line?: string): void;
}

export function progressLine(out: NodeJS.WriteStream = process.stderr): Progress {
  let last = 0;
  const write = (line: string): void => {
    if (out.isTTY) out.write(`\r\x1b[2K${line.slice(0, (out.columns || 80) - 1)}`);
    else out.write(`${line}\n`);
  };
  return {
    show(line) {
      if (!out.isTTY && performance.now() - last < 5000) return;
      last = performance.now();
      write(line);
    },
    done(line) {
      if (line !== undefined) write(line);
      if (out.isTTY) out.write(line === undefined ? '\r\x1b[2K' : '\n');
      last = 0;
    },
  };
}

/** `1:05` */
export function clock(seconds: number): string {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

export const count = (n: number): string => n.toLocaleString('en-US');

export const bytes = (n: number): string =>
  n < 1e4 ? `${n} B` : n < 1e6 ? `${(n / 1e3).toFixed(0)} kB` : `${(n / 1e6).toFixed(1)} MB`;
