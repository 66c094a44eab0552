export { compareMerged, type MergedComparison } from './compare-merged.ts';
export { attachFactors, attachLora, type FactorSource, type LoraModel } from './attach.ts';
export { loraScale, type LoraConfig, type LoraInit } from './config.ts';
export { LoraBranch, LoraLinear, type AdapterState } from './lora-linear.ts';
export type { Merged, MergedLayer, MergeOptions, MergeReport } from './merge.ts';
export { planLora, planOf, type LoraPlan, type LoraPlanEntry } from './plan.ts';
export { matches, resolveTargets, targetsOf, type Target } from './targets.ts';
