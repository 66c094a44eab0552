import { mkdir, writeFile } from 'node:fs/promises';

/** Keeps a run in results/<date>-cpu.md, in place of an earlier one of that day. @returns the file's path. */
export async function writeResults(machine: readonly string[], table: string): Promise<string> {
  const day = new Date().toISOString().slice(0, 10);
  const folder = new URL('results/', import.meta.url);
  await mkdir(folder, { recursive: true });
  const heading = `# npm run bench, ${day}, no GPU\n\n${machine.map((line) => `- ${line}`).join('\n')}`;
  await writeFile(new URL(`${day}-cpu.md`, folder), `${heading}\n\n${table}\n`);
  return `bench/results/${day}-cpu.md`;
}
