/** What was measured on: enough to judge the numbers by, nothing that names a person or a host. */
import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, totalmem, type, release, arch } from 'node:os';

/** Of those that use several: as many as there are processors, at most 4, as bax's wasm does if it is not told. */
export const THREADS: number = Math.max(1, Math.min(4, availableParallelism()));
export const threadsInWords = (count: number): string => (count === 1 ? '1 thread' : `${count} threads`);

export function describeMachine(): string[] {
  const models = new Set(
    cpus().map(({ model, speed }) => `${model.trim()}${speed > 0 ? `, ${speed} MHz` : ''}`),
  );
  return [
    `CPU: ${[...models].join('; ')}; ${availableParallelism()} logical cores`,
    `Memory: ${Math.round(totalmem() / 2 ** 30)} GiB`,
    `OS: ${type()} ${release().split('-')[0]} ${arch()}`,
    `Node: ${process.version}, V8 ${process.versions.v8}`,
    `Load before the run (1, 5, 15 minutes): ${loadavg().map((x) => x.toFixed(1)).join(', ')}`, // prettier-ignore
  ];
}

/** The versions of the JavaScript peers. */
export async function describePeers(): Promise<string> {
  const text = await readFile(new URL('peers/package.json', import.meta.url), 'utf8');
  const { dependencies } = JSON.parse(text) as { dependencies: Record<string, string> };
  const peers = Object.entries(dependencies).map(([name, version]) => `${name} ${version}`);
  return `Peers: ${peers.join(', ')}`;
}
