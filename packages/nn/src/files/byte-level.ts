// GPT-2's two ideas: text is cut into words that merges never cross, and a word is a row of bytes, each shown as one
// printable character, so that 256 symbols write every text. https://github.com/openai/gpt-2/blob/master/src/encoder.py

/** A word: a contraction, or letters, digits or other signs with at most one space before them, or white space. */
export const WORDS: RegExp = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

const printable = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;

/** The character of each byte: itself if it prints, else the next one from U+0100 on (a space is U+0120). */
export const BYTE_TO_CHAR: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
})();

/** The bytes in the order of their characters: the first 256 ids of GPT-2's vocabulary. */
export const ALPHABET: readonly number[] = [...BYTE_TO_CHAR.keys()].sort((a, b) =>
  BYTE_TO_CHAR[a] < BYTE_TO_CHAR[b] ? -1 : 1,
);
