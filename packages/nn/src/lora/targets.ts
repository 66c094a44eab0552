/** Which places of a model a pattern means. A pattern that means nothing is an error, never a silent base model. */
import { BaxError } from '@bax/core';
import { Linear, type OutputSlice } from '../layers/linear.ts';
import type { Module } from '../module.ts';

/** A linear layer, or a named slice of its output. */
export interface Target {
  /** The module's path; with the slice's name behind it if there is one: `transformer.h.0.attn.c_attn.q`. */
  readonly path: string;
  readonly modulePath: string;
  readonly layer: Linear;
  readonly slice: (OutputSlice & { readonly name: string }) | undefined;
}

type Pattern = string | RegExp;

/** Every layer and every named slice of one that an adapter can be attached to. */
export function targetsOf(model: Module): Target[] {
  const found: Target[] = [];
  for (const [modulePath, layer] of model.namedModules()) {
    if (!(layer instanceof Linear)) continue;
    found.push({ path: modulePath, modulePath, layer, slice: undefined });
    for (const [name, slice] of Object.entries(layer.slices))
      found.push({ path: `${modulePath}.${name}`, modulePath, layer, slice: { ...slice, name } });
  }
  return found;
}

/** By whole path segments: `q` never matches `freq`. */
export const matches = (pattern: Pattern, path: string): boolean =>
  typeof pattern === 'string'
    ? path === pattern || path.endsWith(`.${pattern}`)
    : new RegExp(`^(?:${pattern.source})$`, pattern.flags.replace(/[gy]/g, '')).test(path);

/**
 * The targets that the patterns mean, in the model's order.
 * @throws if a pattern matches nothing (naming the nearest paths), or a layer is meant both whole and by its slices.
 */
export function resolveTargets(
  model: Module,
  patterns: 'all-linear' | readonly Pattern[],
  by = 'planLora',
): Target[] {
  const all = targetsOf(model);
  if (patterns === 'all-linear') {
    const heads = new Set(
      all.filter(({ path }) => path === 'lm_head' || path === 'score').map(({ path }) => path),
    );
    const body = all.filter(({ slice, path }) => !slice && !heads.has(path));
    if (body.length === 0) throw new BaxError(`${by}: the model has no linear layer beside its head`);
    return body;
  }
  for (const pattern of patterns)
    if (!all.some(({ path }) => matches(pattern, path)))
      throw new BaxError(
        `${by}: no module matches '${pattern instanceof RegExp ? pattern.source : pattern}'. Nearest: ${nearest(String(pattern), all)}`,
      );
  const chosen = all.filter(({ path }) => patterns.some((pattern) => matches(pattern, path)));
  const whole = new Set(chosen.filter(({ slice }) => !slice).map(({ modulePath }) => modulePath));
  const both = chosen.find(({ slice, modulePath }) => slice && whole.has(modulePath));
  if (both)
    throw new BaxError(
      `${by}: ${both.modulePath} is targeted whole and by its slice '${both.slice!.name}'; choose one`,
    );
  return chosen;
}

function nearest(pattern: string, all: readonly Target[]): string {
  const modules = all.filter(({ slice }) => !slice);
  const distance = (path: string): number =>
    Math.min(editDistance(pattern, path), editDistance(pattern, path.split('.').at(-1)!));
  const best = modules
    // 'q_proj' means the slice 'q' of a fused layer.
    .map((t) => ({
      t,
      d: Object.keys(t.layer.slices).some((name) => pattern.split(/[_.]/).includes(name))
        ? 0
        : distance(t.path),
    }))
    .sort((a, b) => a.d - b.d)
    // One layer stands for those of the same name in other blocks.
    .filter(({ t }, i, sorted) => sorted.findIndex(({ t: other }) => nameOf(other) === nameOf(t)) === i)
    .slice(0, 3)
    .map(
      ({ t }) =>
        `${t.path}${Object.keys(t.layer.slices).length > 0 ? ` (slices ${Object.keys(t.layer.slices).join(', ')})` : ''}`,
    );
  return `${best.join(', ')} (${modules.length} linears in all)`;
}

/** `attn.c_proj`: the path's end, less which block it is in. */
const nameOf = ({ path }: Target): string => path.split('.').slice(-2).join('.').replace(/\d+\./, '');

/** Levenshtein's. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    row = next;
  }
  return row[b.length]!;
}
