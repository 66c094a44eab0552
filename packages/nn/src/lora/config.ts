import { BaxError } from '@bax/core';
import { Linear } from '../layers/linear.ts';
import type { Module } from '../module.ts';
import { checkOptions } from '../options.ts';

/** How A and B start. All but the last two leave W + s B A = W to the bit, or (orthogonal) within rounding. */
export type LoraInit =
  /** A ~ U(−1/√in, 1/√in), B = 0: what PEFT and loralib do. */
  | 'kaiming'
  /** A ~ N(0, 1/r²), B = 0: the paper's Gaussian with PEFT's σ. [LoRA §4.1] */
  | 'gaussian'
  /** Neither is zero, yet B A is, within rounding: A's and B's columns lie apart. r is even. https://datta0.github.io/posts/rethink-lora-init/ */
  | 'orthogonal'
  /** The r largest singular directions of W, found on the host (some 3 s for 768 × 3072) and taken out of W: W stays frozen less its principal part. https://arxiv.org/abs/2404.02948 */
  | 'pissa'
  /** The first r columns of W = Q R, taken out of W. https://arxiv.org/abs/2406.01775 */
  | 'olora';
const LORA_INITS: readonly LoraInit[] = ['kaiming', 'gaussian', 'orthogonal', 'pissa', 'olora'];

export type LoraPattern = string | RegExp;

/** Which biases are trained with an adapter, in copies of its own: the base's never change. */
export type LoraBias = 'none' | 'all' | 'lora_only';

export interface LoraConfig {
  /** The rank r of B A. Default 8. */
  readonly r?: number;
  /** α; the scale of B A is α/r, or α/√r for rsLoRA. Default 16. */
  readonly alpha?: number;
  /** Other ranks for some targets: by the end of a path, `{ 'h.0.attn.c_attn': 4 }`, or a pattern for it, `{ 'mlp\\..*': 2 }`. The first that fits holds. */
  readonly rankPattern?: Readonly<Record<string, number>>;
  /** Other α for some targets, named likewise. */
  readonly alphaPattern?: Readonly<Record<string, number>>;
  /**
   * Which layers get an adapter: `'all-linear'` (all linear ones but the output head), or patterns. A string matches a path
   * that equals it or ends with `.` and it (`c_attn`, `h.0.mlp.c_fc`, `wte`; `q` and `v` are slices of GPT-2's fused
   * `c_attn`); a RegExp must match a whole path. Default 'all-linear'.
   */
  readonly targets?: 'all-linear' | readonly LoraPattern[];
  /** Of these, none. Patterns like those of `targets`. */
  readonly exclude?: readonly LoraPattern[];
  /** Of these, only those in the blocks of these numbers: the first number in a path, `transformer.h.3.…`. */
  readonly layersToTransform?: readonly number[];
  /** Scale by α/√r, not α/r, so that large ranks learn as well. https://arxiv.org/abs/2312.03732 */
  readonly rslora?: boolean;
  /** Learn the rows' lengths m apart from their directions: W' = m ∘ (W + s B A)/‖W + s B A‖. https://arxiv.org/abs/2402.09353 */
  readonly dora?: boolean;
  /** Train B alone and leave A as it starts, which saves A's gradient. https://arxiv.org/abs/2308.03303 */
  readonly freezeA?: boolean;
  /** Dropout on the adapter's input, in [0, 1). It acts where a forward pass is given a `key`, as `train` offers one; embeddings have none. Default 0. */
  readonly dropout?: number;
  /** Default 'kaiming'. For embeddings A and B change places: A is zero, B ~ N(0, 1). */
  readonly init?: LoraInit;
  /** Default 'none'. */
  readonly bias?: LoraBias;
  /** Modules that are trained whole, in copies that belong to the adapter, such as a new head: patterns like those of `targets`. */
  readonly modulesToSave?: readonly LoraPattern[];
}

/** The scale s of B A, in f64: α/r [LoRA §4.1], or α/√r of rsLoRA. */
export const loraScale = (alpha: number, r: number, rslora = false): number =>
  alpha / (rslora ? Math.sqrt(r) : r);

const DEFAULTS: Required<LoraConfig> = {
  r: 8,
  alpha: 16,
  rankPattern: {},
  alphaPattern: {},
  targets: 'all-linear',
  exclude: [],
  layersToTransform: [],
  rslora: false,
  dora: false,
  freezeA: false,
  dropout: 0,
  init: 'kaiming',
  bias: 'none',
  modulesToSave: [],
};

/** Fills in the defaults. @throws if a field is unknown or out of its range. */
export function loraConfig(given: LoraConfig): Required<LoraConfig> {
  checkOptions('lora', given, DEFAULTS);
  const config: Required<LoraConfig> = { ...DEFAULTS, ...given };
  const bad = (message: string): never => {
    throw new BaxError(`lora: ${message}`);
  };
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    const value: unknown = config[name as keyof LoraConfig];
    const isOne = Array.isArray(usual)
      ? Array.isArray(value)
      : name === 'targets' || (typeof value === typeof usual && value !== null);
    if (!isOne) bad(`${name} is ${show(value)}; it must be ${Array.isArray(usual) ? 'a list' : `${typeof usual === 'object' ? 'an' : 'a'} ${typeof usual}`}`); // prettier-ignore
  }
  for (const [where, r] of [['r', config.r], ...Object.entries(config.rankPattern)] as const)
    if (!Number.isSafeInteger(r) || r < 1)
      bad(`${where === 'r' ? 'r' : `rankPattern: '${where}'`} is ${show(r)}; the rank is an integer from 1`);
  for (const [where, alpha] of [['alpha', config.alpha], ...Object.entries(config.alphaPattern)] as const)
    if (typeof alpha !== 'number' || !(alpha > 0 && alpha < Infinity))
      bad(
        `${where === 'alpha' ? 'alpha' : `alphaPattern: '${where}'`} is ${show(alpha)}; it must be a finite number above 0`,
      );
  if (!(config.dropout >= 0 && config.dropout < 1))
    bad(`dropout is ${config.dropout}; it must lie in [0, 1)`);
  if (!LORA_INITS.includes(config.init))
    bad(`init is '${config.init}'; choose ${LORA_INITS.slice(0, -1).join(', ')} or ${LORA_INITS.at(-1)}`);
  if (!['none', 'all', 'lora_only'].includes(config.bias))
    bad(`bias is '${config.bias}'; choose none, all or lora_only`);
  if (config.targets !== 'all-linear' && (!Array.isArray(config.targets) || config.targets.length === 0))
    bad("targets must be 'all-linear' or a list that names at least one, like ['q', 'v']");
  for (const layer of config.layersToTransform)
    if (!Number.isSafeInteger(layer) || layer < 0)
      bad(`layersToTransform has ${layer}; layers are counted from 0`);
  return config;
}

/** As it would be typed: a string in quotes. */
const show = (value: unknown): string =>
  typeof value === 'number' ? String(value) : String(JSON.stringify(value));

/** Whether B A takes part of W out of it at the start. */
export const takesFromW = (init: LoraInit): boolean => init === 'pissa' || init === 'olora';

/** The same of one layer: an embedding begins with its own start always. */
export const takesFrom = (init: LoraInit, layer: Module): boolean =>
  takesFromW(init) && layer instanceof Linear;
