/** The paper's section 7 on a model of one's own. */
export {
  amplification,
  randomProjection,
  type Amplification,
  type AmplificationOptions,
} from './amplification.ts';
export {
  amplificationsOf,
  readAdapter,
  similaritiesOf,
  spectraOf,
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
