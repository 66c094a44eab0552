import { BaxError } from '@bax/core';

/** How A starts; B always starts at zero, so that an untrained adapter changes nothing. [LoRA §4.1] */
export type LoraInit =
  /** U(−1/√in, 1/√in), what PEFT and loralib do. */
  | 'kaiming'
  /** N(0, 1/r²), the paper's Gaussian with PEFT's σ. */
  | 'gaussian';

export interface LoraConfig {
  /** The rank r of B A. Default 8. */
  readonly r?: number;
  /** α; the scale of B A is α/r. Default 16. */
  readonly alpha?: number;
  /**
   * Which linear layers get an adapter: `'all-linear'` (all but the output head), or patterns. A string matches a path
   * that equals it or ends with `.` and it (`c_attn`, `h.0.mlp.c_fc`; `q` and `v` are slices of GPT-2's fused
   * `c_attn`); a RegExp must match a whole path. Default 'all-linear'.
   */
  readonly targets?: 'all-linear' | readonly (string | RegExp)[];
  /** Dropout on the adapter's input, in [0, 1). It acts where a forward pass is given a `key`, as `train` offers one. Default 0. */
  readonly dropout?: number;
  readonly init?: LoraInit;
}

/** The scale of B A, in f64. [LoRA §4.1] */
export const loraScale = (alpha: number, r: number): number => alpha / r;

/** Fills in the defaults. @throws if a field is out of its range. */
export function loraConfig(given: LoraConfig): Required<LoraConfig> {
  const config = {
    r: 8,
    alpha: 16,
    targets: 'all-linear' as const,
    dropout: 0,
    init: 'kaiming' as const,
    ...given,
  };
  const bad = (message: string): never => {
    throw new BaxError(`lora: ${message}`);
  };
  if (!Number.isSafeInteger(config.r) || config.r < 1) bad(`r is ${config.r}; the rank is an integer from 1`);
  if (!(config.alpha > 0 && config.alpha < Infinity))
    bad(`alpha is ${config.alpha}; it must be a finite number above 0`);
  if (!(config.dropout >= 0 && config.dropout < 1))
    bad(`dropout is ${config.dropout}; it must lie in [0, 1)`);
  if (!['kaiming', 'gaussian'].includes(config.init))
    bad(`init is '${config.init}'; choose kaiming or gaussian`);
  if (config.targets !== 'all-linear' && (!Array.isArray(config.targets) || config.targets.length === 0))
    bad("targets must be 'all-linear' or a list that names at least one, like ['q', 'v']");
  return config;
}
