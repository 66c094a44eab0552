import { Queue } from '../packages/webgpu/src/queue.ts';
const seen = new Map<string, number>();
let on = false;
const before = Queue.prototype.dispatch;
Queue.prototype.dispatch = function (this: Queue, kernel: any, ...rest: any[]) {
  if (on) {
    const k = `${this.place.op.padEnd(22)} ${kernel.file.slice(0, 60)}`;
    seen.set(k, (seen.get(k) ?? 0) + 1);
  }
  return (before as any).call(this, kernel, ...rest);
} as any;
const { attachLora, planLora } = await import('@bax/nn');
const { key } = await import('@bax/core');
const { openGpt, SMALL, TINY, trainer } = await import('./gpt.ts');
const { gpuEngines } = await import('./ours.ts');
const size = process.argv[2] === 'small' ? SMALL : ({ ...SMALL, ...TINY, layers: 4 } as typeof SMALL);
const backend = await gpuEngines[0]!.open();
const model = openGpt(size, backend);
const lora =
  process.argv[3] === 'lora'
    ? attachLora(model, planLora(model, { targets: ['q', 'v'], r: 8, alpha: 16 }), { key: key(1) })
    : undefined;
const { run: step } = lora
  ? trainer(lora.model, [...lora.parameters().values()], size, backend)
  : trainer(model, model.parameters(), size, backend);
for (let i = 0; i < 3; i++) await step();
on = true;
await step();
on = false;
let sum = 0;
for (const [k, n] of [...seen].sort((a, b) => b[1] - a[1])) {
  console.log(String(n).padStart(4), k);
  sum += n;
}
console.log(sum);
backend.close();
