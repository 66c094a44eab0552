/** A reader of XML 1.0 as far as reports need it, and strict: what is not well-formed throws. It shares nothing with what writes. */
export interface Element {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: (Element | string)[];
}

const NAMED: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
/** https://www.w3.org/TR/xml/#NT-Char */
const CHAR = /^[\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]*$/u;

function unescaped(text: string): string {
  if (/[<]/.test(text) || text.includes(']]>')) throw new Error(`xml: raw markup in ${JSON.stringify(text)}`);
  return text.replaceAll(/&([^;]*);?/g, (all, name: string) => {
    const code = /^#(\d+)$/.exec(name)?.[1] ?? /^#x([\da-f]+)$/i.exec(name)?.[1];
    const value = NAMED[name] ?? (code === undefined ? undefined : String.fromCodePoint(Number(code)));
    if (value === undefined || !all.endsWith(';') || !CHAR.test(value)) throw new Error(`xml: ${all}`);
    return value;
  });
}

/** The root element of a document. @throws if it is not well-formed. */
export function parseXml(document: string): Element {
  if (!CHAR.test(document)) throw new Error('xml: a character that XML cannot hold');
  const text = document.replaceAll(/\r\n?/g, '\n'); // as a parser must, before anything else
  const head = /^<\?xml version="1\.0" encoding="UTF-8"\?>\n/.exec(text);
  if (!head) throw new Error('xml: no declaration');
  const open: Element[] = [{ name: '', attributes: {}, children: [] }];
  const token = /<(\/?)([\w-]+)((?:\s+[\w-]+="[^"<]*")*)\s*(\/?)>|([^<]+)/gy;
  token.lastIndex = head[0].length;
  let end = token.lastIndex;
  for (let match = token.exec(text); match; match = token.exec(text)) {
    end = token.lastIndex;
    const [, closing, name, attributes, empty, chars] = match;
    if (chars !== undefined) open.at(-1)!.children.push(unescaped(chars));
    else if (closing) {
      if (open.pop()!.name !== name) throw new Error(`xml: </${name}> closes another element`);
    } else {
      const element: Element = { name: name!, attributes: attributesOf(attributes!), children: [] };
      open.at(-1)!.children.push(element);
      if (!empty) open.push(element);
    }
  }
  const roots = open[0]!.children.filter((c) => typeof c !== 'string');
  if (end !== text.length || open.length !== 1 || roots.length !== 1)
    throw new Error(`xml: not well-formed at ${end}`);
  return roots[0]!;
}

function attributesOf(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [, name, value] of text.matchAll(/([\w-]+)="([^"]*)"/g)) {
    if (name! in found) throw new Error(`xml: ${name} twice`);
    if (/[\n\t]/.test(value!)) throw new Error(`xml: a raw line end in ${name}, which would become a space`);
    found[name!] = unescaped(value!);
  }
  return found;
}
