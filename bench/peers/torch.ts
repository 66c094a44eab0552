/** PyTorch on the CPU, in a process of its own that is asked for one step at a time. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Stepper, Task } from '../tasks.ts';

const SCRIPT = fileURLToPath(new URL('torch_gpt.py', import.meta.url));

/** `threads`: default as many as PyTorch takes. */
export async function torchStepper(task: Task, threads = 0): Promise<Stepper> {
  const python = process.env['BAX_BENCH_PYTHON'];
  if (!python) throw new Error('not run: BAX_BENCH_PYTHON names no Python with torch');
  const folder = await mkdtemp(join(tmpdir(), 'bax-bench-'));
  try {
    await writeTask(folder, task);
    const child = spawn(python, [SCRIPT, folder, String(threads)], { stdio: ['pipe', 'pipe', 'pipe'] });
    await once(child, 'spawn'); // rejects if there is no such program
    let complaints = '';
    child.stderr.on('data', (text: Buffer) => (complaints += text.toString()));
    const ended = once(child, 'close');
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const answer = async (): Promise<string> => {
      const line = await lines.next();
      if (line.done !== true) return line.value;
      await ended;
      throw new Error(`${python.split(/[\\/]/).at(-1)}: ${complaints.trim().split('\n').at(-1)}`);
    };
    await answer(); // ready
    return {
      async step() {
        child.stdin.write('step\n');
        return JSON.parse(await answer()) as { loss: number; ms: number };
      },
      close: () => child.stdin.end(),
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** task.json, and all numbers in weights.bin: the weights in their order as f32, then ids and targets as i32. */
async function writeTask(folder: string, { weights, batch, ...rest }: Task): Promise<void> {
  const shapes = [...weights].map(([name, { shape }]) => ({ name, shape }));
  await writeFile(join(folder, 'task.json'), JSON.stringify({ ...rest, shapes }));
  const arrays = [...[...weights.values()].map(({ data }) => data), batch.ids, batch.targets];
  await writeFile(join(folder, 'weights.bin'), Buffer.concat(arrays.map((a) => new Uint8Array(a.buffer))));
}
