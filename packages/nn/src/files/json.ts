// JSON from a stranger. JSON.parse takes the last of two equal keys without a word, gives objects that inherit
// `constructor` and `toString`, and recurses as deep as the text says. This reader refuses the first, makes objects
// without a prototype, and knows its limits before it starts. https://www.rfc-editor.org/rfc/rfc8259
import { BaxError } from '@bax/core';

export type Json = null | boolean | number | string | Json[] | JsonObject;
/** Has no prototype: `__proto__` and `constructor` are keys like any other, and a missing key is undefined. */
export interface JsonObject {
  [key: string]: Json;
}

export interface JsonLimits {
  /** How errors call the text: a file name. */
  readonly where: string;
  /** Longest text, in bytes of UTF-8. */
  readonly maxBytes: number;
  /** Deepest nesting of arrays and objects; `[]` has depth 1. Default 64. */
  readonly maxDepth?: number;
}

/** Is it an object, not an array and not null? */
export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Parses strict JSON: what JSON.parse accepts, less duplicate keys and what goes beyond the limits.
 * Throws a `BaxError` that names the file and the offset (in characters).
 */
export function parseJson(input: string | Uint8Array, limits: JsonLimits): Json {
  const { where, maxBytes, maxDepth = 64 } = limits;
  const bytes = byteLength(input, maxBytes);
  if (bytes > maxBytes) throw new BaxError(`${where}: is longer than the ${maxBytes} bytes that are allowed`);
  const text = typeof input === 'string' ? input : decode(input, where);
  return new Reader(text, where, maxDepth).whole();
}

function byteLength(input: string | Uint8Array, maxBytes: number): number {
  if (typeof input !== 'string') return input.byteLength;
  // A character takes 1 to 3 bytes: encode only if that does not decide it.
  if (input.length > maxBytes || input.length * 3 <= maxBytes) return input.length;
  return new TextEncoder().encode(input).byteLength;
}

function decode(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new BaxError(`${where}: is not valid UTF-8 text`, { cause });
  }
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORDS: readonly [string, Json][] = [
  ['true', true],
  ['false', false],
  ['null', null],
];

class Reader {
  readonly text: string;
  readonly where: string;
  readonly maxDepth: number;
  at = 0;

  constructor(text: string, where: string, maxDepth: number) {
    this.text = text;
    this.where = where;
    this.maxDepth = maxDepth;
  }

  whole(): Json {
    const value = this.value(1);
    if (this.peek() !== '') throw this.error('text after the end of the value');
    return value;
  }

  value(depth: number): Json {
    const first = this.peek();
    if (first === '{' || first === '[') {
      if (depth > this.maxDepth) throw this.error(`nested deeper than ${this.maxDepth}`);
      return first === '{' ? this.object(depth) : this.array(depth);
    }
    if (first === '"') return this.string();
    if (first === '-' || (first >= '0' && first <= '9')) return this.number();
    for (const [word, value] of WORDS) {
      if (!this.text.startsWith(word, this.at)) continue;
      this.at += word.length;
      return value;
    }
    throw this.error(first === '' ? 'the text ends where a value was expected' : 'expected a value');
  }

  object(depth: number): JsonObject {
    const object: JsonObject = Object.create(null);
    this.at++;
    if (this.take('}')) return object;
    do {
      if (this.peek() !== '"') throw this.error('expected a key in double quotes');
      const start = this.at;
      const key = this.string();
      if (key in object) throw this.error(`duplicate key ${JSON.stringify(key)}`, start);
      this.expect(':');
      object[key] = this.value(depth + 1);
    } while (this.take(','));
    this.expect('}');
    return object;
  }

  array(depth: number): Json[] {
    const array: Json[] = [];
    this.at++;
    if (this.take(']')) return array;
    do array.push(this.value(depth + 1));
    while (this.take(','));
    this.expect(']');
    return array;
  }

  string(): string {
    const { text } = this;
    const start = this.at;
    let escaped = false;
    for (let i = start + 1; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code === 0x22) {
        this.at = i + 1;
        return escaped ? this.unescape(start) : text.slice(start + 1, i);
      }
      if (code < 0x20) throw this.error('a control character inside a string', i);
      if (code === 0x5c) {
        escaped = true;
        i++; // whatever is escaped does not end the string
      }
    }
    throw this.error('a string that does not end', start);
  }

  /** The string from `start` to here, quotes included, by JSON.parse: the rules of escapes are its business. */
  unescape(start: number): string {
    try {
      return JSON.parse(this.text.slice(start, this.at));
    } catch {
      throw this.error('a wrong escape inside a string', start);
    }
  }

  number(): number {
    NUMBER.lastIndex = this.at;
    const found = NUMBER.exec(this.text)?.[0];
    if (found === undefined) throw this.error('expected a number');
    this.at += found.length;
    return Number(found);
  }

  /** The next character that is not white space; '' at the end. */
  peek(): string {
    for (; this.at < this.text.length; this.at++) {
      const char = this.text[this.at];
      if (char !== ' ' && char !== '\n' && char !== '\r' && char !== '\t') return char;
    }
    return '';
  }

  take(char: string): boolean {
    if (this.peek() !== char) return false;
    this.at++;
    return true;
  }

  expect(char: string): void {
    if (!this.take(char)) throw this.error(`expected '${char}'`);
  }

  error(what: string, at: number = this.at): BaxError {
    let line = 1;
    let start = 0;
    for (let i = this.text.indexOf('\n'); i >= 0 && i < at; i = this.text.indexOf('\n', start)) {
      line++;
      start = i + 1;
    }
    return new BaxError(`${this.where}: ${what} at offset ${at} (line ${line}, column ${at - start + 1})`);
  }
}
