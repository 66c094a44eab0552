/** The paper's section 7 on a model of one's own. */
export {
  amplification,
  randomProjection,
  type Amplification,
  type AmplificationOptions,
} from './amplification.ts';
export {
  amplificationsOf,
  matricesOf,
  similaritiesOf,
  spectraOf,
  type Adapted,
  type AdapterMatrices,
} from './of-adapter.ts';
export {
  projectionMetric,
  randomSimilarity,
  similarityGrid,
  subspaceSimilarity,
  type DirectionOptions,
  type SimilarityGrid,
} from './similarity.ts';
export { spectrum, type Spectrum } from './spectrum.ts';
export {
  countGpt2Lora,
  countLora,
  planGpt2Lora,
  type CountConfig,
  type CountOptions,
  type LoraCount,
  type MatrixShape,
} from './count.ts';
export { hollowBackend, hollowGpt2, type HollowOptions } from './hollow.ts';
export { paperCounts, type PaperCount } from './paper-counts.ts';
export { judge, type Agreement, type Judged, type PaperTable, type Printed } from './printed.ts';
export {
  measureMemory,
  planMemory,
  type KeptActivations,
  type MemoryLedger,
  type MemoryPlan,
} from './ledger.ts';
export { paperMemory, type PaperMemoryLine } from './paper-memory.ts';
