/** The registry: every op, once. The law tests run over this list; a new op is added here and nowhere else. */
import type { Op } from '../op.ts';
import { attentionGradOp, attentionOp } from './attention.ts';
import { crossEntropyGradOp, crossEntropyOp } from './cross-entropy.ts';
import { dropoutOp, randomBitsOp } from './dropout.ts';
import { elementwiseOps } from './elementwise.ts';
import { gatherOp, scatterAddOp } from './gather.ts';
import { layerNormGradOp, layerNormGradWeightOp, layerNormOp } from './layer-norm.ts';
import { linearOp } from './linear.ts';
import { loraLinearOp } from './lora-linear.ts';
import { matmulOp } from './matmul.ts';
import { reduceOps } from './reduce.ts';
import { rmsNormGradOp, rmsNormGradWeightOp, rmsNormOp } from './rms-norm.ts';
import { logSoftmaxGradOp, logSoftmaxOp, softmaxGradOp, softmaxOp } from './softmax.ts';
import { viewOps } from './view.ts';

const named = [
  ...elementwiseOps, ...reduceOps, ...viewOps, matmulOp, linearOp, loraLinearOp, gatherOp, scatterAddOp, softmaxOp, logSoftmaxOp,
  layerNormOp, rmsNormOp, attentionOp, crossEntropyOp, randomBitsOp, dropoutOp, softmaxGradOp, logSoftmaxGradOp, layerNormGradOp,
  layerNormGradWeightOp, rmsNormGradOp, rmsNormGradWeightOp, attentionGradOp, crossEntropyGradOp,
] as readonly Op[]; // prettier-ignore

export const ops: ReadonlyMap<string, Op> = new Map(named.map((op) => [op.name, op]));

export * from './attention.ts';
export * from './cross-entropy.ts';
export * from './dropout.ts';
export * from './elementwise.ts';
export * from './gather.ts';
export {
  layerNorm,
  layerNormGradOp,
  layerNormGradWeightOp,
  layerNormOp,
  type NormAttrs,
} from './layer-norm.ts';
export { linear, linearOp } from './linear.ts';
export * from './lora-linear.ts';
export * from './matmul.ts';
export * from './reduce.ts';
export * from './rms-norm.ts';
export * from './softmax.ts';
export * from './view.ts';
