export * from './code.ts';
export * from './instructions.ts';
export * from './leb128.ts';
export * from './module.ts';
