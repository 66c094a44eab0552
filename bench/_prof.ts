import { wasm } from '@bax/wasm';
import { observe } from '@bax/core';
import { openGpt, SMALL, trainer } from './gpt.ts';
const threads = Number(process.argv[2] ?? 1);
const b = await wasm({ threads });
const model = openGpt(SMALL, b);
const { step } = trainer(model, model.parameters(), SMALL, b);
const times: number[] = [];
for (let i = 0; i < 12; i++) { const t = performance.now(); const l = step(); const v = await l.item(); l.dispose(); times.push(performance.now() - t); if (i===0||i===11) console.log('loss', v); }
console.log('steps ms', times.map((t) => t.toFixed(0)).join(' '));
const rows = new Map<string, { n: number; ms: number; work: number }>();
const N = 5;
const t0 = performance.now();
for (let i = 0; i < N; i++) b.profile(({ kernel, work, ms }) => { const r = rows.get(kernel) ?? { n: 0, ms: 0, work: 0 }; r.n++; r.ms += ms; r.work += work; rows.set(kernel, r); }, () => step().dispose());
const total = (performance.now() - t0) / N;
console.log('total', total.toFixed(1));
let sum = 0;
for (const [k, r] of [...rows].sort((x, y) => y[1].ms - x[1].ms)) { sum += r.ms / N; console.log(k.padEnd(24), (r.n / N).toFixed(0).padStart(6), (r.ms / N).toFixed(2).padStart(9), 'ms', (r.work / r.ms / 1e6).toFixed(2).padStart(8), 'G/s'); }
console.log('kernels', sum.toFixed(1), 'host', (total - sum).toFixed(1));
if (process.argv[3]) { const ops = new Map<string, number>(); observe((op, xs, ys) => { ops.set(op + ' ' + ys.map((y) => y.shape.join('x')).join(), (ops.get(op + ' ' + ys.map((y) => y.shape.join('x')).join()) ?? 0) + 1); }, () => step().dispose()); for (const [k, n] of ops) console.log(n, k); }
