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

/** The modules that the patterns mean, by path, in the model's order. @throws if one matches nothing. */
export function savedModules(model: Module, patterns: readonly LoraPattern[]): string[] {
  const paths = [...model.namedModules().keys()].filter(Boolean);
  for (const pattern of patterns)
    if (!paths.some((path) => matches(pattern, path)))
      throw new BaxError(
        `planLora: modulesToSave: no module matches '${String(pattern)}'; there are ${listOf(paths)}`,
      );
  return paths.filter((path) => patterns.some((pattern) => matches(pattern, path)));
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
