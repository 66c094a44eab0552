/** A program that opens a backend with threads, uses them, and comes to its end: nothing else may keep it alive. */
import { matmul, setBackend, tensor } from '@bax/core';
import { wasm } from '@bax/wasm';

const backend = await wasm({ threads: 2 });
setBackend(backend);
const ones = tensor(new Float32Array(200 * 200).fill(1), { shape: [200, 200] });
console.log(backend.info.adapter, (await matmul(ones, ones).data())[0]);
