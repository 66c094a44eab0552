export * from './adamw.ts';
export * from './clip.ts';
export * from './optimizer.ts';
export type { Decay, ParamGroup, Params, Slot } from './params.ts';
export * from './schedule.ts';
export * from './sgd.ts';
