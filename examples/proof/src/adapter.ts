import { adamW, attachLora, type Gpt2, key, type LoraConfig, type LoraModel, planLora, randomWindows, train } from 'bax'; // prettier-ignore
import { loss } from './model.ts';

export const config: LoraConfig = { r: 4, alpha: 8, targets: ['q', 'v', 'mlp.c_fc'] };

export const newAdapter = async (model: Gpt2): Promise<LoraModel<Gpt2>> =>
  attachLora(model, planLora(model, config), { key: key(2) });

/** Trains the adapter on a text of token ids; resolves to the losses. */
export async function learn(lora: LoraModel<Gpt2>, text: Int32Array, steps: number): Promise<number[]> {
  const losses: number[] = [];
  await train({
    batches: (step) => randomWindows(text, step, { context: 8, batch: 4 }),
    loss: ({ ids, targets }) => loss(lora.model, ids, targets),
    optimizer: adamW(lora.parameters(), { lr: 0.05 }),
    steps,
    onStep: ({ loss: value }) => void losses.push(value),
  });
  return losses;
}
