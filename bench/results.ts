import { mkdir, writeFile } from 'node:fs/promises';

/**
 * Keeps a run in results/<date>-wasm.md, in place of an earlier one of that day. A file is named for the fastest of our
 * backends that took part: cpu, wasm.
 * @returns the file's path.
 */
export async function writeResults(machine: readonly string[], table: string): Promise<string> {
  const day = new Date().toISOString().slice(0, 10);
  const folder = new URL('results/', import.meta.url);
  await mkdir(folder, { recursive: true });
  const heading = `# npm run bench, ${day}, no GPU\n\n${machine.map((line) => `- ${line}`).join('\n')}`;
  await writeFile(new URL(`${day}-wasm.md`, folder), `${heading}\n\n${table}\n`);
  return `bench/results/${day}-wasm.md`;
}
