// Unfinished files of the private file system. A closed tab leaves them behind; a lock, which the browser takes back
// with the tab or worker that holds it, tells those from the ones that are being written. https://w3c.github.io/web-locks/

/** Ours, and the one in which Chromium holds what a stream wrote. */
const TEMP = /^(\.bax-[0-9a-f-]{36}\.tmp)(?:\.crswap)?$/;

export const isTemp = (name: string): boolean => TEMP.test(name) || name.endsWith('.crswap');

/** Runs `f` with a name for an unfinished file, which is `f`'s until it ends. */
export async function withTemp<T>(f: (name: string) => Promise<T>): Promise<T> {
  const name = `.bax-${crypto.randomUUID()}.tmp`;
  return navigator.locks.request(name, async () => f(name));
}

/** Deletes the unfinished files that nobody writes any more. */
export async function removeStale(directory: FileSystemDirectoryHandle): Promise<void> {
  for await (const name of directory.keys()) {
    const temp = TEMP.exec(name)?.[1];
    if (temp === undefined) continue;
    await navigator.locks.request(temp, { ifAvailable: true }, async (lock) => {
      if (lock) await directory.removeEntry(name).catch(() => undefined); // it is only in the way
    });
  }
}
