// node probe.mjs: what adapter Dawn finds in this environment, as JSON; null if there is none.
import { create } from 'webgpu';

const gpu = create([]);
const adapter = await gpu.requestAdapter();
const info = adapter?.info;
console.log(
  JSON.stringify(info ? { name: info.description || info.device, software: info.isFallbackAdapter } : null),
);
process.exit(gpu ? 0 : 1); // `gpu` is held until here
