/** Where the model and the texts lie: beside a page that is served, or inside one that is a single file. */
import { httpFolder, memoryFolder, type Folder } from 'bax';

/** The page's address, or its files by their path below it. */
export type Home = string | Readonly<Record<string, Blob>>;

/** Blocks of the model, kept across visits. */
const CACHE = 'bax-lab';
const BASE = 'base/';

export async function baseFolder(home: Home, signal: AbortSignal): Promise<Folder> {
  if (typeof home === 'string') return httpFolder(new URL(BASE, home).href, { cache: CACHE, signal });
  const files = Object.entries(home).filter(([path]) => path.startsWith(BASE));
  const read = files.map(
    async ([path, blob]) => [path.slice(BASE.length), new Uint8Array(await blob.arrayBuffer())] as const,
  );
  return memoryFolder(Object.fromEntries(await Promise.all(read)), BASE);
}

/** A text that comes with the lab. */
export async function shippedText(home: Home, name: string): Promise<string> {
  const path = `texts/${name}.txt`;
  if (typeof home !== 'string') return home[path].text();
  const answer = await fetch(new URL(path, home));
  if (!answer.ok)
    throw new Error(`the text '${name}' could not be loaded: ${answer.status} ${answer.statusText}`);
  return answer.text();
}
