/** What a training step asks of the device, and what asking costs the host. */
import { attachLora, planLora } from '@bax/nn';
import { key, record } from '@bax/core';
import type { Counts } from '@bax/webgpu';
import { openGpt, SMALL, showSize, TINY, trainer } from './gpt.ts';
import { say, type Suite } from './options.ts';
import { gpuEngines } from './ours.ts';
import { median } from './rounds.ts';
import { digits, type Row } from './table.ts';

export const run: Suite = async ({ rounds, quick }) => {
  const size = quick ? TINY : SMALL;
  const rows: Row[] = [];
  for (const engine of gpuEngines) {
    say(`webgpu: ${showSize(size)}`);
    for (const way of ['full', 'LoRA on q, v'] as const) {
      const backend = await engine.open();
      const model = openGpt(size, backend);
      const lora = await attachLora(model, planLora(model, { targets: ['q', 'v'], r: 8, alpha: 16 }), {
        key: key(1),
      });
      const { run: step, step: enqueue } =
        way === 'full' ? trainer(model, model.parameters(), size, backend) : trainer(lora.model, [...lora.parameters().values()], size, backend); // prettier-ignore
      const start = performance.now();
      await step();
      const first = performance.now() - start;
      for (let i = 0; i < 4; i++) await step();
      const before = backend.counts();
      const host = await hostTimes(step, 3 * rounds);
      const after = backend.counts();
      const each = (name: keyof Counts): number => (after[name] - before[name]) / (3 * rounds);
      const made = each('buffers') + each('pipelines') + each('bindGroups');
      const row = (what: string, value: string): Row => ({ case: `step, ${way}`, who: what, value });
      rows.push(
        row('dispatches', digits(each('dispatches'))),
        row('submits', digits(each('submits'))),
        row('new buffers, pipelines and bind groups', digits(made)),
        row('host time', `${digits(median(host))} ms, ${digits((1000 * median(host)) / each('dispatches'))} µs a dispatch`), // prettier-ignore
        row('first step, pipelines compiled', `${digits(first / 1000)} s`),
      );
      const replay = record(backend, () => enqueue());
      const start2 = backend.counts().dispatches;
      const replayed = await hostTimes(async () => (replay.run(), replay.result.item()), 3 * rounds);
      const dispatches = (backend.counts().dispatches - start2) / (3 * rounds);
      rows.push(row('host time of a recorded step', `${digits(median(replayed))} ms, ${digits((1000 * median(replayed)) / dispatches)} µs a dispatch`)); // prettier-ignore
      replay.dispose();
      backend.close();
    }
  }
  return rows;
};

/** Milliseconds until a step is recorded and handed on: without the wait for its loss. */
async function hostTimes(step: () => Promise<number>, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    const done = step(); // returns at the first thing that it waits for: the loss
    times.push(performance.now() - start);
    await done;
  }
  return times;
}
