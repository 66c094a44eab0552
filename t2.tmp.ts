import { setBackend, tensor, grad, valueAndGrad, noGrad } from '@bax/core';
import { cpu } from '@bax/cpu';
import { loadGpt2, generate, openSafetensors, createGpt2, gpt2Config, randomWindows } from '@bax/nn';
import { openFolder } from '@bax/nn/node';
import { key } from '@bax/core';
setBackend(cpu());
const f = await openFolder('test/golden/gpt2');
const e = await openSafetensors(await f.open('expected.safetensors'));
for (const dtype of ['f32','f64'] as const) {
const m = await loadGpt2(f,{dtype});
const ids = tensor(Int32Array.from((await e.read('ids')).data as BigInt64Array, Number),{shape:[2,9]});
const lab = Int32Array.from((await e.read('labels')).data as BigInt64Array, Number);
const tg = new Int32Array(18).fill(-100); for(let b=0;b<2;b++)for(let t=0;t<8;t++)tg[b*9+t]=lab[b*9+t+1];
const lg = await m.forward(ids).data(); const ex = (await e.read('logits')).data as Float64Array;
console.log(dtype, Math.max(...ex.map((v,i)=>Math.abs(v-lg[i]))));
const ps=[...m.namedParameters()];
const {value,grads}=valueAndGrad(()=>m.loss(ids,tensor(tg,{shape:[2,9]})), ps.map(p=>p[1]));
console.log(await value.item(), (await e.read('loss')).data);
let worst=0; for (let i=0;i<ps.length;i++){ const g=await grads[i].data(); const x=(await e.read('grad.'+ps[i][0])).data as Float64Array; worst=Math.max(worst, ...x.map((v,j)=>Math.abs(v-g[j])));}
console.log('worst grad', worst);
const pr=(await e.read('greedy.prompt')).data as BigInt64Array; const out=[]; for await (const t of generate(m, Array.from(pr,Number),{temperature:0,maxNewTokens:6,stopTokens:[]})) out.push(t); console.log(out.join(), String((await e.read('greedy.tokens')).data));
}
const big = createGpt2(gpt2Config({vocab_size:1024,n_positions:128,n_embd:128,n_layer:4,n_head:4,resid_pdrop:0,embd_pdrop:0,attn_pdrop:0}),{key:key(1)});
const toks=new Int32Array(20000).map((_,i)=>(i*7919)%1024);
for (let s=0;s<4;s++){const b=randomWindows(toks,s,{context:128,batch:8}); const t0=performance.now(); const {value,grads}=valueAndGrad(()=>big.loss(b.ids,b.targets),big.parameters()); console.log(await value.item(), performance.now()-t0,'ms', big.parameters()[0].backend.memory()); grads.forEach(g=>g.dispose());
const t1=performance.now(); noGrad(()=>big.loss(b.ids,b.targets)); console.log('fwd',performance.now()-t1);}
