import { BaxError } from '@bax/core';

/**
 * A folder's URL, with a '/' at its end: without it the last name would not count as a folder.
 * @throws BaxError unless it is absolute, http(s), and without a fragment or a password.
 */
export function checkUrl(url: string | URL): URL {
  let base: URL;
  try {
    base = new URL(url);
  } catch (cause) {
    throw new BaxError(`httpFolder: ${JSON.stringify(String(url))} is not an absolute URL; in a page, give new URL('models/', location.href)`, { cause }); // prettier-ignore
  }
  const refuse = (why: string): never => {
    throw new BaxError(`httpFolder: ${base.protocol}//${base.host}${base.pathname}: ${why}`);
  };
  if (base.protocol !== 'http:' && base.protocol !== 'https:')
    refuse('only http and https URLs can be fetched');
  if (base.username !== '' || base.password !== '')
    refuse('a URL with a user or password cannot be fetched; give { fetch } that adds a header');
  if (base.hash !== '') refuse(`leave out '${base.hash}', which no server ever sees`);
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  return base;
}

/** A file of the folder at `base`. @throws BaxError for a name that no URL can hold. */
export function urlOf(base: URL, file: string, folderName: string): URL {
  const url = new URL(base);
  try {
    url.pathname += encodeURIComponent(file);
  } catch (cause) {
    throw new BaxError(`${folderName}: ${JSON.stringify(file)} has half of a character in it, which no URL can hold`, { cause }); // prettier-ignore
  }
  return url;
}
