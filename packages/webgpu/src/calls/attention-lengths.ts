import type { View } from '@bax/core';

/** One call's lengths. */
export interface Attention {
  readonly batch: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly queries: number;
  readonly keys: number;
  readonly depth: number;
  readonly width: number;
  readonly causal: boolean;
  readonly scale: number;
  /** As [B, H, Tq, Tk]. */
  readonly mask: View | undefined;
}
