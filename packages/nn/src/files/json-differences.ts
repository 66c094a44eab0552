import { isJsonObject, type Json, type JsonObject } from './json.ts';
import { brief } from './safetensors-header.ts';

/** What differs between two values, a line for each place: `optimizer.betas[1] was 0.999, is 0.99`. */
export function differences(was: Json | undefined, is: Json | undefined, path = ''): string[] {
  if (isJsonObject(was) && isJsonObject(is)) {
    const keys = new Set([...Object.keys(was), ...Object.keys(is)]);
    return [...keys].flatMap((key) =>
      differences(own(was, key), own(is, key), path === '' ? key : `${path}.${key}`),
    );
  }
  if (Array.isArray(was) && Array.isArray(is)) {
    const length = Math.max(was.length, is.length);
    return Array.from({ length }, (_, i) => differences(was[i], is[i], `${path}[${i}]`)).flat();
  }
  return was === is ? [] : [`${brief(path)} was ${show(was)}, is ${show(is)}`];
}

const own = (of: JsonObject, key: string): Json | undefined => (Object.hasOwn(of, key) ? of[key] : undefined);
const show = (value: Json | undefined): string =>
  value === undefined ? 'absent' : brief(JSON.stringify(value));
