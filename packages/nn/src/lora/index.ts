export { AdaptedLayer, type AdapterState } from './adapted.ts';
export { Adapter, adapterFrom, type AdapterSource, createAdapter } from './adapter.ts';
export {
  compressAdapter,
  type CompressionError,
  negateAdapter,
  sumAdapters,
  type Weighted,
} from './algebra.ts';
export { attachFactors, attachLora, type FactorSource, withAdapter } from './attach.ts';
export { type BranchParts, type BranchSettings, LoraBranch, type Place } from './branch.ts';
export type { Active, Adaptable } from './changed-rows.ts';
export { compareMerged, type MergedComparison } from './compare-merged.ts';
export { type LoraBias, type LoraConfig, type LoraInit, type LoraPattern, loraScale } from './config.ts';
export { LoraEmbedding } from './lora-embedding.ts';
export { LoraLinear } from './lora-linear.ts';
export { type AdaptedLayers, LoraModel } from './lora-model.ts';
export { loraPlus, type LoraPlusOptions } from './lora-plus.ts';
export type { Merged, MergeOptions } from './merge.ts';
export type { MergedLayer, MergeReport } from './merge-report.ts';
export { planLora, planOf, type LoraPlan, type LoraPlanEntry } from './plan.ts';
export { blockOf, matches, resolveTargets, targetsOf, type Target } from './targets.ts';
