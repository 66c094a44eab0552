/** What an adapter's files must say of themselves and of the base, before anything is computed. */
import { showShape } from '@bax/core';
import { type Adapter, isJsonObject, type JsonObject, linalg, type LoraModel, matches, type Module, targetsOf } from '@bax/nn'; // prettier-ignore
import { weightOf } from '../adapter/factors.ts';
import { CheckError } from '../errors.ts';
import type { AdapterFile } from './adapter-files.ts';
import type { LayerFacts } from './report.ts';

const bad = (message: string): never => {
  throw new CheckError(message);
};

/** Every rank that the configuration speaks of. */
function ranksOf(config: JsonObject): ReadonlySet<unknown> {
  const patterns = config['rank_pattern'];
  return new Set([config['r'] ?? 8, ...(isJsonObject(patterns) ? Object.values(patterns) : [])]);
}

/** @throws CheckError where A is not [r, in], B not [out, r], or r not one of the configuration's. */
export function assertShapes(base: Module, config: JsonObject, { pairs }: AdapterFile): string {
  const layers = new Map(targetsOf(base).map((target) => [target.path, target]));
  const ranks = ranksOf(config);
  for (const { path, A, B } of pairs) {
    const layer = layers.get(path)?.layer;
    if (!layer) return bad(`it has factors for ${path}, which is no linear layer or embedding of the base`);
    const [k, out] = [layer.inFeatures, layer.outFeatures];
    const fits = (r: unknown): boolean => A.join() === [r, k].join() && B.join() === [out, r].join();
    if (fits(A[0]) && ranks.has(A[0])) continue;
    if (fits(A[0]))
      bad(`lora_A of ${path} has ${A[0]} rows, and adapter_config.json says r = ${[...ranks].join(' or ')}`);
    const r = [...ranks].join(' or ');
    const expected = `expected A [r, in] = [${r}, ${k}] and B [out, r] = [${out}, ${r}]`;
    const found = `A is ${showShape(A)} and B ${showShape(B)}`;
    if (A.join() === [out, B[0]].join() && B.join() === [A[1], k].join())
      bad(`lora_A and lora_B of ${path} are swapped: ${found}, ${expected}`);
    if (A.join() === [k, A[1]].join() && B.join() === [A[1], out].join())
      bad(`lora_A and lora_B of ${path} are transposed: ${found}, ${expected}`);
    bad(`the factors of ${path} do not fit W [${out}, ${k}]: ${found}, ${expected}`);
  }
  return `A [r, in] and B [out, r] of ${pairs.length} layers, r = ${[...ranks].join(' or ')}`;
}

/** @throws CheckError where a name of target_modules means no layer that has factors. */
export function assertTargets(base: Module, config: JsonObject, { pairs }: AdapterFile): string {
  const names = config['target_modules'];
  if (!Array.isArray(names)) return `by ${JSON.stringify(names ?? null)}: ${pairs.length} layers`;
  const paths = targetsOf(base).map(({ path }) => path);
  for (const name of names.filter((one) => typeof one === 'string')) {
    // what is no name, loading will say
    const meant = paths.filter((path) => matches(name, path));
    if (meant.length === 0) bad(`target_modules names '${name}', which matches no layer of the base`);
    // what is left out on purpose, loading knows
    const narrowed = (config['exclude_modules'] ?? config['layers_to_transform'] ?? null) !== null;
    if (!narrowed && !pairs.some(({ path }) => meant.includes(path)))
      bad(`target_modules names '${name}', which means ${meant[0]}, and the file has no factors for it`);
  }
  return `${names.map((name) => JSON.stringify(name)).join(', ')}: ${pairs.length} layers`;
}

/** @throws CheckError where configuration, file and bytes do not count the same. */
export function assertCounts(base: Module, { file, size, pairs, lora, whole }: AdapterFile): string {
  const layers = new Map(targetsOf(base).map((target) => [target.path, target.layer]));
  const lengths = [...file.tensors].filter(([name]) => name.endsWith('.lora_magnitude_vector'));
  const wanted =
    pairs.reduce((n, { path, A }) => n + A[0]! * (layers.get(path)!.inFeatures + layers.get(path)!.outFeatures), 0) +
    lengths.reduce((n, [, { shape }]) => n + shape[0]!, 0); // prettier-ignore
  if (wanted !== lora)
    bad(`Σ r (in + out) is ${wanted} by the configuration and the base; the file holds ${lora}`);
  const bytes = [...file.tensors.values()].reduce((n, t) => n + t.bytes, 0);
  const header = Math.min(...[...file.tensors.values()].map(({ offset }) => offset));
  if (header + bytes !== size)
    bad(`a header of ${header} bytes and tensors of ${bytes} make no file of ${size}`);
  return `Σ r (in + out) = ${lora} numbers${whole > 0 ? `, ${whole} trained whole` : ''}; ${size} bytes: ${header} of header, ${bytes} of tensors`; // prettier-ignore
}

/** @throws CheckError if the adapter has nothing to add anywhere. */
export function assertNotZero(layers: readonly LayerFacts[], adapter: Adapter): string {
  const idle = layers.filter(({ change }) => change === 0);
  if (layers.length > 0 && idle.length === layers.length && adapter.full.size === 0)
    bad(
      'B A is zero in every layer: this adapter was never trained, or lost its weights; it changes nothing',
    );
  const dead = layers.reduce((n, l) => n + l.dead, 0);
  const all = layers.reduce((n, l) => n + l.r, 0);
  return `${layers.length - idle.length} of ${layers.length} layers act, ${dead} of ${all} directions are dead`;
}

/** Rank, dead directions and size of what the adapter adds to each layer, in f64. */
export async function factsOf(lora: LoraModel<Module>): Promise<LayerFacts[]> {
  const facts: LayerFacts[] = [];
  for (const [path, layer] of lora.layers) {
    const W = await weightOf(layer.base);
    for (const { branch } of layer.active()) {
      const { r, scale, start, length, slice } = branch;
      const [a, b] = [await branch.A.data(), await branch.B.data()];
      const [A, B] = [linalg.matrix(r, layer.inFeatures, a), linalg.matrix(length, r, b)];
      const { S } = linalg.svdOfProduct(B, A);
      const least = Math.max(length, layer.inFeatures) * 2 ** -24 * (S[0] ?? 0);
      const own = W.subarray(start * layer.inFeatures, (start + length) * layer.inFeatures);
      const norm = Math.sqrt(linalg.inner(own, own));
      facts.push({
        path: slice ? `${path}.${slice.name}` : path,
        out: length,
        in: layer.inFeatures,
        r,
        scale,
        rank: S.filter((s) => s > least).length,
        dead: Array.from({ length: r }, (_, i) => i).filter((i) => isDead(A.data, B.data, i, r)).length,
        change: norm === 0 ? Math.abs(scale) * Math.hypot(...S) : (Math.abs(scale) * Math.hypot(...S)) / norm,
      });
    }
  }
  return facts;
}

/** Whether row i of A or column i of B is zero. */
function isDead(A: ArrayLike<number>, B: ArrayLike<number>, i: number, r: number): boolean {
  const k = A.length / r;
  const row = Array.from({ length: k }, (_, j) => A[i * k + j]!);
  const column = Array.from({ length: B.length / r }, (_, j) => B[j * r + i]!);
  return row.every((v) => v === 0) || column.every((v) => v === 0);
}
