/** The main job on a GPU: the cpu's numbers. */
import { adamW, attachLora, type Backend, generate, key, loadGpt2, loadTokenizer, planLora, randomWindows, setBackend, train } from 'bax'; // prettier-ignore
import { openFolder } from 'bax/node';
import { afterAll, describe, expect, it } from 'vitest';
import { backendCases, closeBackends } from '../support/backends.ts';
import { node, put, ROOT, scratch, start, text, tinyModel } from './support.ts';

const tmp = scratch();
afterAll(() => tmp.remove());

/** How far a step's loss may be off, in nats, after training on each other's rounding for so many steps. */
const TOLERANCE = 2e-4;
const STEPS = 6;

interface Learned {
  readonly losses: readonly number[];
  readonly logitsApart: number;
  readonly allowed: number;
  readonly tokens: readonly number[];
}
/** The main job's program on the base model, of fewer and smaller steps. */
async function learn(backend: Backend): Promise<Learned> {
  setBackend(backend);
  const folder = await openFolder(`${ROOT}/examples/finetune/base`);
  const [model, tokenizer] = [await loadGpt2(folder), await loadTokenizer(folder)];
  const plan = planLora(model, { targets: 'all-linear', r: 8, alpha: 16, dropout: 0.05 });
  const lora = await attachLora(model, plan, { key: key(1) });
  const tokens = tokenizer.encode('Call me Ishmael. Some years ago, never mind how long precisely, the whale swam on. '.repeat(20)); // prettier-ignore
  const losses: number[] = [];
  await train({
    batches: (step) => randomWindows(tokens, step, { context: 64, batch: 2, seed: 1 }),
    loss: ({ ids, targets }, context) => lora.model.loss(ids, targets, context),
    optimizer: adamW(lora.parameters(), { lr: 0.004 }),
    clip: 1,
    steps: STEPS,
    seed: 1,
    onStep: ({ loss }) => void losses.push(loss),
  });
  const { model: merged, report } = await lora.merge();
  const made: number[] = [];
  for await (const token of generate(merged, tokenizer.encode('Call me'), { maxNewTokens: 12, temperature: 0 })) made.push(token); // prettier-ignore
  return { losses, logitsApart: report.worst.error, allowed: report.worst.bound, tokens: made };
}

const gpu = backendCases.find(({ name }) => name === 'webgpu')!;
const cpu = backendCases.find(({ name }) => name === 'cpu')!;

describe('the main job on webgpu', () => {
  it("has the cpu's loss curve, its merged model and its text", async () => {
    const [ours, theirs] = [await learn(await gpu.make()), await learn(await cpu.make())];
    closeBackends();
    expect(theirs.losses[STEPS - 1]).toBeLessThan(theirs.losses[0] - 0.2); // it learns
    const apart = ours.losses.map((loss, i) => Math.abs(loss - theirs.losses[i]));
    console.log(`largest difference of a step's loss: ${Math.max(...apart).toExponential(1)}`);
    expect(Math.max(...apart)).toBeLessThan(TOLERANCE);
    expect(ours.logitsApart).toBeLessThanOrEqual(ours.allowed);
    expect(ours.tokens).toEqual(theirs.tokens);
  }, 240_000);

  it('is what `npm start -- --device webgpu` runs', async () => {
    await tinyModel(`${tmp.path}/model`);
    const data = put(`${tmp.path}/text.txt`, text(200));
    const command = node('examples/finetune/main.ts', '--model', `${tmp.path}/model`, '--data', data, '--steps', '5', '--device', 'webgpu', '--out', `${tmp.path}/out`); // prettier-ignore
    const { code, stdout, stderr } = await start(command, { gpu: true }).ended;
    expect(stderr).not.toContain('Error');
    expect(code).toBe(0);
    expect(stdout).toContain('on webgpu (');
    expect(stdout).toContain("computes the same, at the base's cost: it holds.");
  }, 120_000);
});
