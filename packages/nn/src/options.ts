import { BaxError } from '@bax/core';

/**
 * `known` has each option's name as a key, so that the compiler sees whether one is left out.
 * @throws if there is an option of another name: what was meant by it would be left out in silence.
 */
export function checkOptions<T extends object>(
  by: string,
  given: T,
  known: Readonly<Record<keyof T, unknown>>,
): void {
  if (typeof given !== 'object' || given === null)
    throw new BaxError(`${by}: the options are ${String(given)}; they must be an object`);
  const unknown = Object.keys(given).find((name) => !Object.hasOwn(known, name));
  if (unknown !== undefined)
    throw new BaxError(`${by}: there is no option '${unknown}'; there are ${Object.keys(known).join(', ')}`);
}
