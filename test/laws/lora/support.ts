/** What the laws are tried on: that of `loraLaws` in @bax/check. */
export * from '../../../packages/check/src/lora/instance.ts';
export * from '../../../packages/check/src/lora/several.ts';
