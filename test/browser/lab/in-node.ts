/** The lab's model in Node, on the cpu: what the page should come to. */
import {
  type Adapter, generate, type Gpt2, loadGpt2, loadTokenizer, memoryFolder, noGrad, readAdapter, setBackend, tensor, type Tokenizer,
} from 'bax'; // prettier-ignore
import { openFolder } from 'bax/node';
import { cpu } from '@bax/cpu';
import { unzipSync } from 'fflate';

export interface InNode {
  readonly base: Gpt2;
  readonly tokenizer: Tokenizer;
  /** Of a .zip that the page gave. */
  adapter(zip: Uint8Array): Promise<Adapter>;
  /** After the prompt's last token. */
  next(model: Gpt2, prompt: string): Promise<Float32Array>;
  /** The prompt and what follows, greedily. */
  written(model: Gpt2, prompt: string, tokens: number): Promise<string>;
}

export async function inNode(): Promise<InNode> {
  setBackend(cpu());
  const folder = await openFolder('examples/finetune/base');
  const [base, tokenizer] = [await loadGpt2(folder), await loadTokenizer(folder)];
  return {
    base,
    tokenizer,
    async adapter(zip) {
      const files = Object.entries(unzipSync(zip)).map(([name, bytes]) => [name.split('/')[1], bytes]);
      return (await readAdapter(base, memoryFolder(Object.fromEntries(files)))).adapter;
    },
    async next(model, prompt) {
      const ids = tensor([[...tokenizer.encode(prompt)]], { dtype: 'i32' });
      return Float32Array.from(await noGrad(() => model.lastLogits(ids)).data());
    },
    async written(model, prompt, tokens) {
      const ids: number[] = [];
      for await (const id of generate(model, tokenizer.encode(prompt), { maxNewTokens: tokens, temperature: 0 })) ids.push(id); // prettier-ignore
      return prompt + tokenizer.decode(ids);
    },
  };
}
