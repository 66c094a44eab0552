/** PEFT's rules by which a configuration means modules. */
import { matches } from '../lora/targets.ts';
import type { Json, JsonObject } from './json.ts';

type Bad = (message: string) => never;

/** A list of names, or none. */
export function namesOf(value: Json | undefined, key: string, bad: Bad): readonly string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || !value.every((v) => typeof v === 'string'))
    return bad(`${key} is ${JSON.stringify(value)}; it must be a list of names`);
  return value;
}

/** target_modules, exclude_modules, layers_to_transform and layers_pattern together, asked of a module's path and kind. */
export function targetsOf(json: JsonObject, bad: Bad): (path: string, embedding: boolean) => boolean {
  const included = includedOf(json['target_modules'], bad);
  const excluded = excludedOf(json['exclude_modules'], bad);
  const inBlocks = blocksOf(json, bad);
  return (path, embedding) => {
    const how = included(path, embedding);
    return how !== 'not' && !excluded(path) && (how === 'by its path' || inBlocks(path));
  };
}

/** A list of names (each a path, or the end of one), a pattern, or 'all-linear'. */
function includedOf(
  value: Json | undefined,
  bad: Bad,
): (path: string, embedding: boolean) => 'not' | 'by its path' | 'by its end' {
  if (typeof value === 'string' && value.toLowerCase() === 'all-linear')
    return (path, embedding) => (embedding || path === 'lm_head' || path === 'score' ? 'not' : 'by its end');
  if (typeof value === 'string') {
    const pattern = toRegExp(value, 'target_modules', bad);
    return (path) => (pattern.test(path) ? 'by its end' : 'not');
  }
  if (!Array.isArray(value) || value.length === 0 || !value.every((v) => typeof v === 'string'))
    return bad(`target_modules is ${JSON.stringify(value ?? null)}; it must be a list of names or a pattern`);
  return (path) => {
    if (value.includes(path)) return 'by its path';
    return value.some((name) => matches(name, path)) ? 'by its end' : 'not';
  };
}

function excludedOf(value: Json | undefined, bad: Bad): (path: string) => boolean {
  if (typeof value === 'string') {
    const pattern = toRegExp(value, 'exclude_modules', bad);
    return (path) => pattern.test(path);
  }
  const names = namesOf(value, 'exclude_modules', bad);
  return (path) => names.some((name) => matches(name, path));
}

/** The number behind the name of a list of blocks, which layers_pattern may name; without it, behind any name but the first. */
function blocksOf(json: JsonObject, bad: Bad): (path: string) => boolean {
  const wanted = json['layers_to_transform'] ?? null;
  const blocks = typeof wanted === 'number' ? [wanted] : (wanted ?? []);
  if (!Array.isArray(blocks) || !blocks.every((n) => Number.isSafeInteger(n)))
    return bad(`layers_to_transform is ${JSON.stringify(wanted)}; it must be a list of numbers`);
  if (blocks.length === 0) return () => true;
  const given = json['layers_pattern'] ?? null;
  const lists = typeof given === 'string' ? [given] : namesOf(given, 'layers_pattern', bad);
  const patterns =
    lists.length === 0
      ? [/^.*?\.[^.]*\.(\d+)\./]
      : lists.map((name) => {
          if (!/^[\w.]+$/.test(name)) bad(`layers_pattern: ${JSON.stringify(name)} is not a name`);
          return new RegExp(`^(?:|.*?\\.)${name.replaceAll('.', '\\.')}\\.(\\d+)\\.`);
        });
  return (path) => {
    const found = patterns.map((pattern) => pattern.exec(path)?.[1]).find((n) => n !== undefined);
    return found !== undefined && blocks.includes(Number(found));
  };
}

/** The keys of rank_pattern and alpha_pattern: regular expressions for the path, or for its end after a dot; the first that fits. */
export function patternsOf(
  value: Json | undefined,
  key: string,
  is: (x: Json) => x is number,
  bad: Bad,
): (path: string) => number | undefined {
  if (value === undefined || value === null) return () => undefined;
  if (typeof value !== 'object' || Array.isArray(value)) return bad(`${key} is not an object`);
  const patterns = Object.entries(value).map(([name, x]): [RegExp, number] => {
    if (!is(x)) return bad(`${key}: ${name} is ${JSON.stringify(x)}`);
    return [toRegExp(`(.*\\.)?(${name})`, key, bad), x];
  });
  return (path) => patterns.find(([pattern]) => pattern.test(path))?.[1];
}

/** From a stranger's file: short, and with too few repetitions, none of them of a group, for a search that takes for ever. */
function toRegExp(source: string, key: string, bad: Bad): RegExp {
  const count = (of: RegExp): number => source.match(of)?.length ?? 0;
  if (source.length > 500 || count(/\)[*+{]/g) > 0 || count(/[*+{]/g) > 5 || count(/[^(]\?/g) > 4)
    bad(`${key}: the pattern ${JSON.stringify(source.slice(0, 60))} is too long or repeats too much`);
  try {
    return new RegExp(`^(?:${source})$`);
  } catch {
    return bad(`${key}: ${JSON.stringify(source)} is not a pattern`);
  }
}
