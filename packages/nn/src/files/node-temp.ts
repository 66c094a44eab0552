// Unfinished files, which a killed process leaves behind. Their names say whose they are:
//
//   .bax-<machine>-<process>-<its start>-<uuid>.tmp
import { createHash, randomUUID } from 'node:crypto';
import { readdir, readFile, readlink, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';

const TEMP = /^\.bax-(?:([0-9a-f]{8})-(\d+)-(\d+)-)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp$/;
const DAY_MS = 86_400_000;
/** The start of a process where the system does not tell it. */
const UNKNOWN = '0';

export const isTemp = (name: string): boolean => TEMP.test(name);

/** A name that nobody else has. */
export async function tempName(): Promise<string> {
  const start = (await startOf(process.pid)) ?? UNKNOWN;
  return `.bax-${await machine()}-${process.pid}-${start}-${randomUUID()}.tmp`;
}

/** Deletes what nobody writes any more: its process has ended, or (on a shared disk who knows) it is a day old. */
export async function removeStale(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    const found = TEMP.exec(name);
    if (!found) continue;
    const path = join(root, name);
    const [, where, pid, start] = found;
    const ended = where === (await machine()) && (await hasEnded(Number(pid), start!));
    if (ended || (await isOld(path))) await rm(path, { force: true });
  }
}

const isOld = async (path: string): Promise<boolean> =>
  stat(path).then(({ mtimeMs }) => Date.now() - mtimeMs > DAY_MS, () => false); // prettier-ignore

async function hasEnded(pid: number, start: string): Promise<boolean> {
  const now = await startOf(pid);
  return now === undefined || (now !== start && now !== UNKNOWN && start !== UNKNOWN);
}

/**
 * When a process began, in the system's ticks: another one may come to have its number. `UNKNOWN` where only Linux would
 * tell; undefined if there is no such process. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
 */
async function startOf(pid: number): Promise<string | undefined> {
  try {
    process.kill(pid, 0); // asks, and does nothing
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return undefined;
  }
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' '); // from the third on: the second may hold anything
  if (fields[0] === 'Z') return undefined; // killed, but its parent has not heard of it
  return fields[19] ?? UNKNOWN;
}

let known: Promise<string> | undefined;
/** Tells machines apart, and their starts and containers, each of which numbers its own processes. */
const machine = async (): Promise<string> => (known ??= nameMachine());
async function nameMachine(): Promise<string> {
  const start = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');
  const container = await readlink('/proc/self/ns/pid').catch(() => '');
  const all = [hostname(), start, container].join();
  return createHash('sha256').update(all).digest('hex').slice(0, 8);
}
