/** The laws of test/laws/README.md, and which of them a test proves. */

export const LAWS: readonly string[] = Array.from({ length: 60 }, (_, i) => `P${i + 1}`);

/** The laws that a text names: P6, P39 to P42. */
export const named = (text: string): string[] => {
  const numbers: number[] = [];
  for (const [, first, last] of text.matchAll(/\bP(\d+)(?: to P(\d+))?\b/g))
    for (let n = Number(first); n <= Number(last ?? first); n++) numbers.push(n);
  return [...new Set(numbers)].map((n) => `P${n}`);
};

/** Those that the title of a test (`file: name`) names, or else the first comment of its file. */
export function lawsOf(test: string, source: (file: string) => string): string[] {
  const colon = test.indexOf(': ');
  const [file, title] = [test.slice(0, colon), test.slice(colon + 2)];
  const laws = named(title);
  if (laws.length > 0 || title.startsWith('does not ')) return laws;
  return named(/\/\*\*[^]*?\*\//.exec(source(file))?.[0] ?? '');
}
