/** What a model wrote, as it can be shown: bytes that are no letter yet have a sign of their own. */

/** Control characters, but for tabs and line breaks. */
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const CONTROL = /[\0-\x08\x0b\x0c\x0e-\x1f]/g;

export const legible = (text: string): string =>
  text.replace(CONTROL, (sign) => String.fromCodePoint(0x2400 + sign.codePointAt(0)!));
export const isBroken = (text: string): boolean => text.includes('\ufffd') || legible(text) !== text;
