/** The small models of `loraLaws` in @bax/check. */
export * from '../../../packages/check/src/lora/gpt2.ts';
