/** P51, in processes of their own: what is killed, whenever, and started again ends with the bits of what never was. */
import { type ChildProcess, spawn } from 'node:child_process';
import { watch } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import type { Backend } from '@bax/core';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BACKENDS, type BackendName, type Job, type Outcome, run } from './survivor.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
/** Where a bundle finds npm's webgpu. */
const SCRATCH = join(ROOT, 'node_modules/.cache/bax-survival', String(process.pid));
const PROGRAM = join(SCRATCH, 'survivor.mjs');

beforeAll(async () => {
  await mkdir(SCRATCH, { recursive: true });
  await build({
    entryPoints: [join(ROOT, 'test/nn/train/survivor.ts')],
    outfile: PROGRAM,
    bundle: true,
    platform: 'node',
    format: 'esm',
    conditions: ['source'],
  });
});
afterAll(async () => rm(SCRATCH, { recursive: true }));

interface Ended {
  readonly signal: NodeJS.Signals | null;
  readonly outcomes: Outcome[];
  readonly text: string;
}
function start(backend: BackendName, jobs: readonly Job[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [PROGRAM, JSON.stringify({ backend, jobs })], { cwd: ROOT });
  let [text, out] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (out += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code, signal) =>
      resolve({ signal, outcomes: code === 0 ? JSON.parse(out) : [], text }),
    );
  });
  return { child, ended };
}

describe.each(Object.keys(BACKENDS) as BackendName[])('on %s', (name) => {
  const STEPS = 6;
  let backend: Backend & { close?(): void };
  beforeAll(async () => void (backend = await BACKENDS[name]()));
  afterAll(() => backend.close?.());

  it('n steps, a fresh process and m more are n + m, bit for bit, for every n ≤ 5', async () => {
    const jobs: Job[] = [];
    const whole: Record<string, Outcome> = {};
    for (const trained of ['adapter', 'all'] as const) {
      const path = join(SCRATCH, `${name}-${trained}`);
      whole[trained] = await run(backend, { trained, steps: STEPS, path, keep: STEPS });
      expect(new Set(whole[trained].losses).size).toBe(STEPS);
      for (let n = 0; n <= 5; n++) {
        jobs.push({ trained, steps: STEPS, path: `${path}-${n}` });
        await mkdir(`${path}-${n}`);
        const file = `checkpoint-${n}.safetensors`;
        if (n > 0) await copyFile(join(path, file), join(`${path}-${n}`, file));
      }
    }
    const { outcomes, text } = await start(name, jobs).ended;
    expect(outcomes, text).toEqual(jobs.map(({ trained }, i) => ({ ...whole[trained], began: i % 6 })));
  });

  it('killed at random moments, also while it writes, it ends where it would have ended', async () => {
    const job = { trained: 'adapter', steps: 9 } as const;
    const path = join(SCRATCH, `${name}-killed`);
    await mkdir(path);
    let seed = 1;
    const random = (n: number): number => (seed = (seed * 48271) % 2147483647) % n;
    let [kills, unfinished, began] = [0, 0, 0];
    for (;;) {
      const { child, ended } = start(name, [{ ...job, path }]);
      // Each checkpoint is a few events: a file appears, is written, takes its name, and an old one goes.
      let events = kills < 3 ? 4 + random(14) : Infinity;
      const watcher = watch(path, () => {
        if (--events > 0) return;
        watcher.close();
        if (random(2)) child.kill('SIGKILL');
        else setTimeout(() => child.kill('SIGKILL'), random(20));
      });
      const { signal, outcomes, text } = await ended;
      watcher.close();
      const files = await readdir(path);
      if (signal === null) {
        expect(outcomes, text).toEqual([{ ...(await run(backend, job)), began }]);
        expect(files).toContain('checkpoint-9.safetensors');
        // One more than two if it was killed at its very end. Nothing unfinished is left.
        expect(files.sort()).toEqual(
          [7, 8, 9].slice(-files.length).map((n) => `checkpoint-${n}.safetensors`),
        );
        break;
      }
      kills++;
      unfinished += files.filter((file) => file.endsWith('.tmp')).length;
      const steps = files.flatMap((file) => /^checkpoint-(\d+)\./.exec(file)?.slice(1).map(Number) ?? []);
      expect(Math.max(0, ...steps)).toBeGreaterThanOrEqual(began);
      began = Math.max(0, ...steps);
      for (const step of steps) {
        const bytes = await readFile(join(path, `checkpoint-${step}.safetensors`));
        expect(bytes.readUInt32LE(bytes.length - 4)).toBe(crc32(bytes.subarray(0, -4)));
      }
    }
    console.log(`${name}: killed ${kills} times, ${unfinished} of them while it wrote`);
    expect(kills).toBeGreaterThan(0);
  });
});
