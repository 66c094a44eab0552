/** Which places of a model a pattern means. A pattern that means nothing is an error, never a silent base model. */
import { BaxError } from '@bax/core';
import { Embedding } from '../layers/embedding.ts';
import { Linear } from '../layers/linear.ts';
import type { Module } from '../module.ts';
import type { Place } from './branch.ts';
import type { Adaptable } from './changed-rows.ts';
import type { LoraConfig, LoraPattern } from './config.ts';

/** A linear layer or an embedding, or a named slice of a layer's output. */
export interface Target extends Place {
  /** The module's path; with the slice's name behind it if there is one: `transformer.h.0.attn.c_attn.q`. */
  readonly path: string;
  readonly layer: Adaptable;
}

/** Every layer and every named slice of one that an adapter can be attached to. */
export function targetsOf(model: Module): Target[] {
  const found: Target[] = [];
  for (const [modulePath, layer] of model.namedModules()) {
    if (!(layer instanceof Linear || layer instanceof Embedding)) continue;
    found.push({ path: modulePath, modulePath, layer, slice: undefined });
    if (layer instanceof Linear)
      for (const [name, slice] of Object.entries(layer.slices))
        found.push({ path: `${modulePath}.${name}`, modulePath, layer, slice: { ...slice, name } });
  }
  return found;
}

/** By whole path segments: `q` never matches `freq`. */
export const matches = (pattern: LoraPattern, path: string): boolean =>
  typeof pattern === 'string'
    ? path === pattern || path.endsWith(`.${pattern}`)
    : new RegExp(`^(?:${pattern.source})$`, pattern.flags.replace(/[gy]/g, '')).test(path);

/** The number of the block that a path lies in: the first one in it. */
export const blockOf = (path: string): number | undefined => {
  const number = /(?:^|\.)(\d+)\./.exec(path)?.[1];
  return number === undefined ? undefined : Number(number);
};

/**
 * The targets that a configuration means, in the model's order.
 * @throws if a pattern or a block's number matches nothing (naming the nearest paths), a layer is meant both whole and by
 * its slices, or nothing is left.
 */
export function resolveTargets(
  model: Module,
  {
    targets,
    exclude = [],
    layersToTransform: blocks = [],
  }: Pick<LoraConfig, 'exclude' | 'layersToTransform'> & Pick<Required<LoraConfig>, 'targets'>,
  by = 'planLora',
): Target[] {
  const all = targetsOf(model);
  const meant = targets === 'all-linear' ? bodyOf(all, by) : matching(all, targets, by);
  for (const pattern of exclude)
    if (!meant.some(({ path, modulePath }) => [path, modulePath].some((p) => matches(pattern, p))))
      throw new BaxError(
        `${by}: exclude: no target matches '${show(pattern)}'; the targets are ${listOf(meant.map((t) => t.path))}`,
      );
  const left = meant.filter(
    ({ path, modulePath }) => !exclude.some((pattern) => [path, modulePath].some((p) => matches(pattern, p))),
  );
  for (const block of blocks)
    if (!left.some(({ path }) => blockOf(path) === block))
      throw new BaxError(
        `${by}: layersToTransform: no target lies in block ${block}; the targets are ${listOf(left.map((t) => t.path))}`,
      );
  const chosen =
    blocks.length === 0 ? left : left.filter(({ path }) => blocks.some((block) => blockOf(path) === block));
  if (chosen.length === 0) throw new BaxError(`${by}: exclude leaves none of the targets`);
  const whole = new Set(chosen.filter(({ slice }) => !slice).map(({ modulePath }) => modulePath));
  const both = chosen.find(({ slice, modulePath }) => slice && whole.has(modulePath));
  if (both)
    throw new BaxError(
      `${by}: ${both.modulePath} is targeted whole and by its slice '${both.slice!.name}'; choose one`,
    );
  return chosen;
}

/** 'all-linear'. */
function bodyOf(all: readonly Target[], by: string): Target[] {
  const body = all.filter(
    ({ slice, path, layer }) => !slice && layer instanceof Linear && path !== 'lm_head' && path !== 'score',
  );
  if (body.length === 0) throw new BaxError(`${by}: the model has no linear layer beside its head`);
  return body;
}

function matching(all: readonly Target[], patterns: readonly LoraPattern[], by: string): Target[] {
  for (const pattern of patterns)
    if (!all.some(({ path }) => matches(pattern, path)))
      throw new BaxError(
        `${by}: no module matches '${show(pattern)}'. Nearest: ${nearest(String(pattern), all)}`,
      );
  return all.filter(({ path }) => patterns.some((pattern) => matches(pattern, path)));
}

const show = (pattern: LoraPattern): string => (pattern instanceof RegExp ? pattern.source : pattern);
export const listOf = (paths: readonly string[]): string =>
  paths.length > 6 ? `${paths.slice(0, 6).join(', ')}, … (${paths.length} in all)` : paths.join(', ');

function nearest(pattern: string, all: readonly Target[]): string {
  const modules = all.filter(({ slice, layer }) => !slice && layer instanceof Linear);
  const distance = (path: string): number =>
    Math.min(editDistance(pattern, path), editDistance(pattern, path.split('.').at(-1)!));
  const best = modules
    // 'q_proj' means the slice 'q' of a fused layer.
    .map((t) => ({
      t,
      d: slicesOf(t).some((name) => pattern.split(/[_.]/).includes(name)) ? 0 : distance(t.path),
    }))
    .sort((a, b) => a.d - b.d)
    // One layer stands for those of the same name in other blocks.
    .filter(({ t }, i, sorted) => sorted.findIndex(({ t: other }) => nameOf(other) === nameOf(t)) === i)
    .slice(0, 3)
    .map(({ t }) => `${t.path}${slicesOf(t).length > 0 ? ` (slices ${slicesOf(t).join(', ')})` : ''}`);
  return `${best.join(', ')} (${modules.length} linears in all)`;
}

const slicesOf = ({ layer }: Target): string[] => (layer instanceof Linear ? Object.keys(layer.slices) : []);

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
