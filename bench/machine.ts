/** What was measured on: enough to judge the numbers by, nothing that names a person or a host. */
import { availableParallelism, cpus, loadavg, totalmem, type, release, arch } from 'node:os';

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
