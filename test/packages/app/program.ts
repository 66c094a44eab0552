/** What a user of the packages writes. The tests give it to the type checker, to Node and to bundlers. */
import {
  adamW,
  attachLora,
  createGpt2,
  device,
  type DeviceName,
  gpt2Config,
  key,
  planLora,
  randomWindows,
  train,
} from 'bax';

export interface Learned {
  /** Asked for, and opened. */
  readonly device: string;
  readonly backend: string;
  readonly adapter: string;
  readonly losses: readonly number[];
}

const config = gpt2Config({
  n_layer: 1, n_embd: 16, n_head: 2, n_positions: 16, vocab_size: 32, bos_token_id: 31, eos_token_id: 31,
  initializer_range: 0.2,
}); // prettier-ignore

/** Trains LoRA on a GPT-2 of one layer to count from 0 to 7, again and again. */
export async function learn(name: DeviceName): Promise<Learned> {
  const backend = await device(name);
  const model = createGpt2(config, { key: key(1) });
  const lora = await attachLora(model, planLora(model, { r: 4, alpha: 8 }), { key: key(2) });
  const tokens = Int32Array.from({ length: 256 }, (_, i) => i % 8);
  const { losses } = await train({
    batches: (step) => randomWindows(tokens, step, { context: 8, batch: 4 }),
    loss: ({ ids, targets }, { key }) => lora.model.loss(ids, targets, { key }).mul(1), // a method: methods are put on tensors by a side effect
    optimizer: adamW(lora.parameters(), { lr: 0.05 }),
    steps: 8,
  });
  return { device: name, backend: backend.name, adapter: backend.info.adapter, losses };
}

/** One device after the other. */
export async function learnAll(...names: readonly DeviceName[]): Promise<Learned[]> {
  const all: Learned[] = [];
  for (const name of names) all.push(await learn(name));
  return all;
}
