/** Where this page has its model and its texts. In the single file that works offline they stand in the page itself. */
import type { Home } from '../worker/home.ts';

/** As `offline.ts` writes them: a script that is none, with base64 in it. */
const carried = document.querySelectorAll<HTMLScriptElement>('script[data-file]');

const bytesOf = (base64: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

export const isOffline = carried.length > 0;
export const home: Home = isOffline
  ? Object.fromEntries([...carried].map(({ dataset, text }) => [dataset['file']!, new Blob([bytesOf(text)])]))
  : document.baseURI;
