/** Parameters that an adapter trains whole, in copies of its own: biases and modules to save, such as a new head. */
import { BaxError, type Tensor } from '@bax/core';
import type { Module } from '../module.ts';
import type { LoraConfig, LoraPattern } from './config.ts';
import { listOf, matches, type Target } from './targets.ts';

/**
 * The base's parameters of which the adapter has copies, by path.
 * @throws if an entry of modulesToSave matches nothing, or what is adapted already.
 */
export function fullyTrained(
  model: Module,
  { bias, modulesToSave }: Pick<Required<LoraConfig>, 'bias' | 'modulesToSave'>,
  targets: readonly Target[],
): Map<string, Tensor> {
  const saved = savedModules(model, modulesToSave);
  const inside = (path: string, of: string): boolean => path === of || path.startsWith(`${of}.`);
  const clash = targets.find(({ modulePath }) => saved.some((path) => inside(modulePath, path)));
  if (clash)
    throw new BaxError(
      `planLora: ${clash.modulePath} would be trained whole (modulesToSave) and have an adapter; choose one`,
    );
  const found = new Map<string, Tensor>();
  for (const [path, t] of parametersAt(model)) {
    const owner = path.slice(0, path.lastIndexOf('.'));
    const isBias =
      path.endsWith('.bias') &&
      (bias === 'all' || (bias === 'lora_only' && targets.some(({ modulePath }) => modulePath === owner)));
    if (isBias || saved.some((of) => inside(owner, of))) found.set(path, t);
  }
  return found;
}

/** The modules that the patterns mean, by path. @throws if one matches nothing. */
export function savedModules(model: Module, patterns: readonly LoraPattern[]): string[] {
  const paths = [...model.namedModules().keys()].filter(Boolean);
  return patterns.flatMap((pattern) => {
    const found = paths.filter((path) => matches(pattern, path));
    if (found.length === 0)
      throw new BaxError(
        `planLora: modulesToSave: no module matches '${String(pattern)}'; there are ${listOf(paths)}`,
      );
    return found;
  });
}

/** Every parameter at every path, a tied one at each of its paths. */
export function parametersAt(model: Module): [path: string, tensor: Tensor][] {
  const named = [...model.namedParameters()];
  const byPath = new Map(named);
  for (const [path, other] of Object.entries(model.tied)) {
    const t = byPath.get(other);
    if (t) named.push([path, t]);
  }
  return named;
}
