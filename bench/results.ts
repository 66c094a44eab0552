import { mkdir, writeFile } from 'node:fs/promises';
import { gpuEngines } from './ours.ts';

/**
 * Keeps a run in results/<date>-<backend>.md, in place of an earlier one of that day. A file is named for the fastest of our
 * backends that took part: cpu, wasm, webgpu.
 * @returns the file's path.
 */
export async function writeResults(machine: readonly string[], table: string): Promise<string> {
  const day = new Date().toISOString().slice(0, 10);
  const folder = new URL('results/', import.meta.url);
  await mkdir(folder, { recursive: true });
  const name = `${day}-${gpuEngines.length > 0 ? 'webgpu' : 'wasm'}.md`;
  const on = gpuEngines.map((engine) => engine.name).join() || 'no GPU';
  const heading = `# npm run bench, ${day}, ${on}\n\n${machine.map((line) => `- ${line}`).join('\n')}`;
  await writeFile(new URL(name, folder), `${heading}\n\n${table}\n`);
  return `bench/results/${name}`;
}
