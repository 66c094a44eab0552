/**
 * Proofs for programs made with bax, for users' own tests: gradients against differences, bits against bits, backends
 * against definitions. Works with any test runner: a law that does not hold throws a `CheckError` that says which and where.
 */
export {
  checkLora,
  type LoraCheckOptions,
  type LoraReport,
  type MergeProof,
  verifyMerge,
} from './adapter/check-lora.ts';
export type { Asked } from './adapter/asked.ts';
export type { OutputProof } from './adapter/merged.ts';
export * from './arbitraries.ts';
export * from './bits.ts';
export * from './bounds.ts';
export * from './conformance/index.ts';
export { CheckError, KinkError, type Place } from './errors.ts';
export * from './gradcheck.ts';
export * from './layout.ts';
export * from './lora-configs.ts';
export { checkOp, type FunctionOptions, type OpOptions, type OpReport, opLaws } from './op/check-op.ts';
export type { Domain, TensorFunction } from './op/function-op.ts';
export { type Bench, opCheck, type OpLaw } from './op/law.ts';
export { checkLoraOn, loraLaws } from './lora/index.ts';
export {
  assertPassed,
  type Check,
  type CheckOptions,
  type CheckReport,
  type Report,
  type RunOptions,
} from './run.ts';
export * from './operations.ts';
export * from './tensors.ts';
export * from './values.ts';
export { junitXml } from './verify/junit.ts';
export { type LayerFacts, showReport, type Verdict, type VerifyReport } from './verify/report.ts';
export { verifyAdapter, type VerifyOptions } from './verify/verify-adapter.ts';
