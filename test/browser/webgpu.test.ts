/** WebGPU in a page, on the software GPU that Chromium carries, under a policy that allows nothing but the page's own files. */
import { conformance, loraLaws } from '@bax/check';
import { cpu } from '@bax/cpu';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { distance, largest } from '../nn/support/numbers.ts';
import { launch } from './chromium.ts';
import type { Outcome } from './suite.ts';
import { expectPassed, openSuite, type SuitePage } from './suite-page.ts';
import { exactLogits, STEPS, type Training, training } from './training.ts';

let suite: SuitePage;
beforeAll(async () => {
  suite = await openSuite({ flags: ['--host-resolver-rules=MAP bax.test 127.0.0.1'] });
}, 120_000);
afterAll(async () => suite?.close());

const backend = 'webgpu';
const u = 2 ** -23;

describe.each([
  { where: 'the window', worker: false },
  { where: 'a worker', worker: true },
])('in $where', { timeout: 120_000 }, ({ worker }) => {
  const expectedWhere = { supported: false, isolated: false, main: !worker }; // no WebAssembly: the policy is in force

  // All of it where apps compute; of a window what asks most of a device.
  const only = worker ? '' : 'matmul:';
  it(`the backend passes the conformance suite: ${only || 'all of it'}`, async () => {
    const outcome = await suite.open('strictest', 'conformance', { backend, worker, only, runs: 1 / 20 });
    expect(outcome).toMatchObject(expectedWhere);
    expect(outcome.result?.adapter).toContain('(software)');
    expectPassed(outcome, conformance.filter(({ name }) => name.includes(only)).length);
  });

  it('the laws of LoRA hold', async () => {
    const outcome = await suite.open('strictest', 'lora', { backend, worker, runs: 1 / 20 });
    expect(outcome).toMatchObject(expectedWhere);
    expectPassed(outcome, loraLaws.length);
  });

  it('a short training gives what it gives in Node on the cpu: losses, merged model, text', async () => {
    const outcome = await suite.open('strictest', 'training', { backend, worker });
    expect(outcome).toMatchObject(expectedWhere);
    expect(outcome.error).toBeUndefined();
    await expectTraining(outcome.result!);
  });
});

async function expectTraining(page: Training): Promise<void> {
  const node = await training(cpu());
  expect(page.losses).toHaveLength(STEPS);
  const mean = (losses: readonly number[]): number => losses.reduce((a, b) => a + b, 0) / losses.length;
  expect(mean(page.losses.slice(-4))).toBeLessThan(mean(page.losses.slice(0, 4)) - 0.4);
  expect(distance(page.losses, node.losses)).toBeLessThan(1e-5);
  // P33: every merged weight is within its bound. P34: to the logits merging costs no more than f32 already costs.
  expect(page.ratio).toBeGreaterThan(0);
  expect(page.ratio).toBeLessThanOrEqual(1);
  const exact = await exactLogits(cpu(), page.factors);
  const [floor, size] = [distance(page.unmerged, exact), largest(exact)];
  expect(floor).toBeLessThan(1e-5 * size);
  expect(distance(page.merged, exact)).toBeLessThanOrEqual(4 * floor + 8 * u * size);
  expect(page.merged).not.toEqual(page.unmerged); // other sums, so other roundings
  expect(page.written).toEqual(node.written);
}

it(
  'a device that is lost says so, and a run goes on from its checkpoint in the private file system',
  { timeout: 120_000 },
  async () => {
    const { result, error } = await suite.open('strictest', 'survival', { backend });
    expect(error).toBeUndefined();
    const { straight, resumed, kept, files, fault, message, told } = result!;
    expect(fault).toBe('lost');
    expect(message).toMatch(/^BaxError: webgpu: the device is lost: it was closed; open another and go on from a checkpoint\n {2}in [^]*$/); // prettier-ignore
    expect(message).toBe(`BaxError: ${told}`);
    expect(kept).toBe(3);
    expect(resumed).toEqual(straight);
    expect(files).toEqual(['checkpoint-5.safetensors', 'checkpoint-6.safetensors']);
  },
);

describe('where there is none', () => {
  const why = async (outcome: Promise<Outcome>): Promise<string | undefined> => (await outcome).error;

  it('says so in a browser without WebGPU', async () => {
    const before = (): void => void Reflect.deleteProperty(Object.getPrototypeOf(navigator) as object, 'gpu');
    expect(await why(suite.open('strictest', 'training', { backend, before }))).toBe(
      'webgpu: this browser has no WebGPU (no navigator.gpu): Chrome and Edge have it from 113 on, Safari from 26, Firefox from 141; or use device wasm',
    );
  });

  it.each([false, true])('says so on a page that is not secure; worker: %s', async (worker) => {
    const outcome = suite.open('strictest', 'training', { backend, worker, host: 'bax.test' });
    expect(await why(outcome)).toBe(
      'webgpu: this page is not secure, and only secure ones have WebGPU: serve it by https or from localhost; or use device wasm',
    );
  });

  it.each([false, true])('does not take a software GPU that nobody asked for; worker: %s', async (worker) => {
    const outcome = suite.open('strictest', 'training', { backend, worker, software: false });
    expect(await why(outcome)).toBe(
      'webgpu: the only adapter here is google swiftshader, which computes on the processor (navigator.gpu): wasm is faster; pass { software: true } to take it all the same',
    );
  });

  it('says so where the browser finds no GPU', async () => {
    const { browser } = await launch({ gpu: 'none' });
    try {
      expect(await why(suite.open('strictest', 'training', { backend, browser }))).toBe(
        'webgpu: there is no adapter (navigator.gpu): this browser has WebGPU but no adapter for it: look at its page about graphics (chrome://gpu, about:support), update the driver, or use device wasm',
      );
    } finally {
      await browser.close();
    }
  });
});
