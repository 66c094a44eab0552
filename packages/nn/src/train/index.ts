export * from './options.ts';
export * from './train.ts';
