import { attachLora, planLora } from '@bax/nn';
import { key } from '@bax/core';
import { openGpt, SMALL, TINY, trainer } from './gpt.ts';
import { gpuEngines } from './ours.ts';
const size = process.argv[2] === 'small' ? SMALL : ({ ...SMALL, ...TINY, layers: 4 } as typeof SMALL);
console.log(JSON.stringify(size));
const backend = await gpuEngines[0]!.open();
const model = openGpt(size, backend);
const way = process.argv[3] ?? 'full';
const lora =
  way === 'lora'
    ? attachLora(model, planLora(model, { targets: ['q', 'v'], r: 8, alpha: 16 }), { key: key(1) })
    : undefined;
const { run: step } = lora
  ? trainer(lora.model, [...lora.parameters().values()], size, backend)
  : trainer(model, model.parameters(), size, backend);
for (let i = 0; i < 300; i++) await step();
const before = backend.counts();
const times: number[] = [],
  whole: number[] = [];
const N = 200;
for (let i = 0; i < N; i++) {
  const s = performance.now();
  const d = step();
  times.push(performance.now() - s);
  await d;
  whole.push(performance.now() - s);
}
const after = backend.counts();
const per = (after.dispatches - before.dispatches) / N;
const med = (x: number[]) => [...x].sort((a, b) => a - b)[x.length >> 1]!;
console.log(
  `${per} dispatches, host ${med(times).toFixed(2)} ms = ${((1000 * med(times)) / per).toFixed(1)} us each; whole ${med(whole).toFixed(2)} ms`,
);
const { record } = await import('@bax/core');
const t2 = lora ? trainer(lora.model, [...lora.parameters().values()], size, backend) : trainer(model, model.parameters(), size, backend);
const replay = record(backend, () => t2.step());
for (let i = 0; i < 50; i++) { replay.run(); await replay.result.item(); }
const b2 = backend.counts(); times.length = 0; whole.length = 0;
for (let i = 0; i < N; i++) { const s = performance.now(); replay.run(); times.push(performance.now() - s); await replay.result.item(); whole.push(performance.now() - s); }
const per2 = (backend.counts().dispatches - b2.dispatches) / N;
console.log(`replay: ${per2} dispatches, host ${med(times).toFixed(2)} ms = ${(1000 * med(times) / per2).toFixed(1)} us each; whole ${med(whole).toFixed(2)} ms`);
backend.close();
