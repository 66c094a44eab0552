/** What is kept: across a question, a reload, a refusal, a lost device and a page that nobody sees. */
import { LoraModel, noGrad, randomWindows } from 'bax';
import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { texts } from '../../../examples/lab/texts.ts';
import { inNode } from './in-node.ts';
import { downloadOf, inWorker, tableOf, useLab } from './support.ts';

const lab = useLab();
const TIME = { timeout: 240_000 };
const SETTINGS = 'r=2&alpha=4&targets=q,v&batch=2&context=16&tokens=8&temperature=0';
const WASM = `?device=wasm#/training?${SETTINGS}`;
const LOSS = 'Loss on the batch, nats a token';
const NEW = 'Perplexity on held-out new text';

/** A page of its own, which `prepare` may change before it is there. */
async function opened(address = WASM, prepare?: (page: Page) => Promise<void>): Promise<Page> {
  const page = await lab.blank();
  page.setDefaultTimeout(90_000); // what computes here may be slow, and shared
  await prepare?.(page);
  await page.goto(lab.url + address);
  await page.locator('#text-read').filter({ hasText: /\d/ }).waitFor();
  return page;
}
async function train(page: Page, steps: number, full = false): Promise<void> {
  await page.getByLabel('Train all weights beside it').setChecked(full);
  await page.getByRole('region', { name: 'Training' }).getByLabel('Steps').fill(String(steps));
  await page.getByRole('button', { name: /^(Train|Go on)$/ }).click();
}
const made = async (page: Page, steps: number): Promise<void> =>
  page.getByText(`${steps} steps made`, { exact: true }).waitFor({ timeout: 60_000 });
/** LoRA's loss of each step. */
const losses = async (page: Page): Promise<string[]> => (await tableOf(page, LOSS)).slice(1).map((row) => row[1]); // prettier-ignore

it('a question waits for the step, is answered, and changes nothing of what is learned', TIME, async () => {
  let page = await opened();
  await train(page, 30, true);
  await lab.said('Training: done.');
  const undisturbed = await losses(page);

  const node = await inNode();
  const prompts = ['The whale', 'Congress'];
  const wanted = await Promise.all(prompts.map(async (prompt) => node.written(node.base, prompt, 8)));
  page = await opened();
  await train(page, 30, true);
  const ask = page.getByRole('region', { name: 'Ask the model' });
  await ask.getByLabel('Who writes').selectOption({ label: 'Frozen base' });
  for (const [i, prompt] of prompts.entries()) {
    await ask.getByText('Asking pauses the training after its step').waitFor();
    await ask.getByLabel('Prompt').fill(prompt);
    await ask.getByRole('button', { name: 'Write' }).click();
    await expect.poll(async () => ask.getByLabel('What the model wrote').textContent(), TIME).toBe(wanted[i]);
    expect((await losses(page)).length).toBeLessThan(30);
  }
  await made(page, 30);
  await page.getByRole('button', { name: 'Go on', disabled: false }).waitFor();
  expect(await losses(page)).toEqual(undisturbed);
  expect(undisturbed).toHaveLength(30);
});

it('pausing is between two steps of all who learn: it goes on as if it had not been', TIME, async () => {
  const page = await opened();
  await train(page, 2000, true);
  for (let i = 0; i < 4; i++) {
    await expect.poll(async () => (await losses(page)).length, TIME).toBeGreaterThan(4 * i);
    await lab.button('Pause').click();
    await lab.said('Training: stopped.');
    const [before, other] = [await losses(page), (await tableOf(page, LOSS)).slice(1).map((row) => row[2])];
    expect(other.filter(Boolean)).toHaveLength(before.length);
    if (i < 3) await lab.button('Go on').click();
  }
  expect(await page.getByRole('alert').count()).toBe(0);
});

it('a reload gives back curves and adapter, and training goes on from there', TIME, async () => {
  const page = await opened();
  await train(page, 23, true);
  await lab.said('Training: done.');
  const tables = [await tableOf(page, LOSS), await tableOf(page, NEW)];
  const zip = await downloadOf(page, page.locator('form').filter({ hasText: 'The adapter of the Training view' }).getByRole('button', { name: 'Export' })); // prettier-ignore

  await page.reload();
  await page.getByText(/^Kept from an earlier visit: 23 steps\..*the optimiser’s memory.*begins anew/).waitFor(); // prettier-ignore
  expect([await tableOf(page, LOSS), await tableOf(page, NEW)]).toEqual(tables);

  await lab.button('One step').click();
  await made(page, 24);
  await lab.said('Training: done.');
  const node = await inNode();
  const lora = new LoraModel(node.base);
  lora.add('kept', await node.adapter(zip));
  lora.activate('kept');
  const tokens = node.tokenizer.encode(texts().get('moby-dick')!);
  const { ids, targets } = randomWindows(tokens.subarray(0, Math.floor(tokens.length * 0.9)), 23, { batch: 2, context: 16, seed: 1 }); // prettier-ignore
  const loss = await noGrad(() => lora.model.loss(ids, targets)).item();
  expect(Number((await losses(page)).at(-1))).toBeCloseTo(loss, 4);

  // Of another text nothing is shown; back at the first, it is there again.
  await page.getByRole('combobox', { name: 'Text to learn' }).first().selectOption('recent-presidents');
  await page.getByText('Nothing is learned yet.').first().waitFor();
  await page.getByRole('combobox', { name: 'Text to learn' }).first().selectOption('moby-dick');
  await made(page, 24);
});

it('another rank is learned on with, also after a reload', TIME, async () => {
  const page = await opened();
  await train(page, 3);
  await lab.said('Training: done.');
  for (const [rank, steps] of [[4, 4], [1, 5]] as const) {
    await page.getByRole('region', { name: 'Training' }).getByLabel('Rank r').fill(String(rank));
    await lab.button(`Change to rank ${rank}`).click();
    await lab.said('Changing the rank: done.');
    await lab.button('One step').click();
    await made(page, steps);
    await lab.said('Training: done.');
  } // prettier-ignore
  await page.reload();
  await made(page, 5);
  await lab.button('One step').click();
  await made(page, 6);
});

it('where the browser keeps nothing, it says so and goes on', TIME, async () => {
  const refuse =
    'StorageManager.prototype.getDirectory = async () => { throw new DOMException("no", "SecurityError"); };\n';
  const page = await opened(WASM, inWorker(refuse));
  const notice = page.getByText(/cannot be kept in this browser \(opfs: this page may not keep files.*export what you want to keep\./); // prettier-ignore
  await notice.waitFor();
  await train(page, 21);
  await lab.said('Training: done.');
  const form = page.locator('form').filter({ hasText: 'The adapter of the Training view' });
  for (const bad of ['', '../mine']) {
    await page.getByLabel('Keep it as').first().fill(bad);
    for (const name of ['Keep', 'Export'])
      expect(await form.getByRole('button', { name }).isDisabled()).toBe(true);
  }
  await page.getByLabel('Keep it as').first().fill('mine');
  await lab.button('Keep').first().click();
  await lab.said('Making an adapter: done.');
  await page.getByRole('link', { name: 'Many adapters' }).click();
  await page.getByRole('listitem', { name: 'mine' }).waitFor();
  expect(await notice.count()).toBe(1);
  expect(await page.getByRole('alert').count()).toBe(0);
});

it('where there is no more room, it says so, and what was kept before is whole', TIME, async () => {
  const page = await opened();
  await train(page, 2);
  await lab.said('Training: done.');
  const protocol = await page.context().newCDPSession(page);
  const room = async (quotaSize?: number): Promise<unknown> =>
    protocol.send('Storage.overrideQuotaForOrigin', {
      origin: new URL(lab.url).origin,
      ...(quotaSize === undefined ? {} : { quotaSize }),
    });
  await room(1000);
  await lab.button('One step').click();
  await page.getByText(/cannot be kept in this browser \(opfs:bax-lab\/runs\/\d.*: the browser lets this site keep no more/).waitFor(); // prettier-ignore
  await made(page, 3);
  await room();
  await page.reload();
  await made(page, 2);
});

it('that an adapter could not be kept is said until one can', TIME, async () => {
  const page = await opened(WASM.replace('training', 'adapters'));
  const protocol = await page.context().newCDPSession(page);
  const { origin } = new URL(lab.url);
  await protocol.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 1000 });
  await page.getByRole('region', { name: 'Many adapters' }).getByLabel('Steps').fill('2');
  await lab.button('Train an adapter').click();
  const notice = page.getByText(/cannot be kept in this browser/);
  await notice.waitFor();
  await lab.said('Training an adapter: done.');
  await protocol.send('Storage.overrideQuotaForOrigin', { origin });
  await lab.button('Negated copy of moby-dick').click();
  await lab.said('Making an adapter: done.');
  await expect.poll(async () => notice.count()).toBe(0);
});

/** What cannot be read, where an adapter of this name would be kept. */
async function breakOne(page: Page, kept: string): Promise<void> {
  await page.evaluate(async (last) => {
    let folder = await navigator.storage.getDirectory();
    for (const name of ['bax-lab', 'adapters', last]) folder = await folder.getDirectoryHandle(name, { create: true }); // prettier-ignore
    const file = await (await folder.getFileHandle('adapter_config.json', { create: true })).createWritable();
    await file.write('{');
    await file.close();
  }, kept);
}

it('a kept adapter that cannot be read is shown, and can be deleted', TIME, async () => {
  const page = await opened(WASM.replace('training', 'adapters'));
  await breakOne(page, 'bad');
  await page.reload();
  await page.getByText('bad is kept, but cannot be read: ').waitFor();
  await lab.button('Delete bad').click();
  await lab.said('Deleting: done.');
  await page.reload();
  await page.getByText('None yet: train one').waitFor();
  expect(await page.getByText('bad is kept').count()).toBe(0);
});

it('the name of one that cannot be read is taken', TIME, async () => {
  const page = await opened(WASM.replace('training', 'adapters'));
  await breakOne(page, 'moby-dick');
  await page.reload();
  await page.getByText('moby-dick is kept, but cannot be read: ').waitFor();
  const name = page.locator('#teach-name');
  expect(await name.inputValue()).toBe('moby-dick-2');
  await name.fill('moby-dick');
  await page.getByText('There is an adapter of that name already').waitFor();
  expect(await lab.button('Train an adapter').isDisabled()).toBe(true);
  await name.fill('moby-dick-2');
  await page.getByRole('region', { name: 'Many adapters' }).getByLabel('Steps').fill('2');
  await lab.button('Train an adapter').click();
  await lab.said('Training an adapter: done.');
  await lab.button('Delete moby-dick').click();
  await lab.said('Deleting: done.');
  await page.reload();
  await page.getByRole('listitem', { name: 'moby-dick-2' }).waitFor();
  expect(await page.getByText('moby-dick is kept').count()).toBe(0);
});

it('two tabs do not keep over one another', TIME, async () => {
  const page = await opened();
  await train(page, 2);
  await lab.said('Training: done.');
  const other = await page.context().newPage();
  await other.goto(lab.url + WASM);
  await made(other, 2); // it has what the first one kept
  await other.getByRole('button', { name: 'One step' }).click();
  await other.getByText('Another tab of this page keeps its run').waitFor();
  await made(other, 3);
  await other.close();
  await page.reload();
  await made(page, 2);
});

it('two tabs do not keep adapters over one another', TIME, async () => {
  const address = WASM.replace('training', 'adapters');
  const page = await opened(address);
  const other = await page.context().newPage();
  await other.goto(lab.url + address.replace('r=2', 'r=3'));
  await other.locator('#text-read').filter({ hasText: /\d/ }).waitFor();
  for (const tab of [page, other]) {
    expect(await tab.locator('#teach-name').inputValue()).toBe('moby-dick');
    await tab.getByRole('region', { name: 'Many adapters' }).getByLabel('Steps').fill('2');
    await tab.getByRole('button', { name: 'Train an adapter' }).click();
    await tab.getByRole('listitem', { name: 'moby-dick' }).first().waitFor();
  }
  await other.getByText('“moby-dick” meanwhile: this one is here as “moby-dick-2”.').waitFor();
  await page.reload();
  for (const tab of [page, other])
    for (const [name, r] of [
      ['moby-dick', 2],
      ['moby-dick-2', 3],
    ] as const)
      await tab.getByRole('listitem', { name, exact: true }).getByText(`r = ${r},`).waitFor();
  await other.close();
});

it('trains in a tab that draws nothing', TIME, async () => {
  const page = await opened(WASM, async (next) => {
    await next.addInitScript('window.requestAnimationFrame = () => 0');
  });
  await train(page, 25);
  await made(page, 25);
  await lab.said('Training: done.');
});

it('a device that is lost in the midst of training leaves what was kept', TIME, async () => {
  const remember =
    'const ask = GPUAdapter.prototype.requestDevice; GPUAdapter.prototype.requestDevice = async function (...how) { return (self.lastDevice = await ask.apply(this, how)); };\n';
  const page = await opened(`?device=webgpu&software#/training?${SETTINGS}`, inWorker(remember));
  await train(page, 2);
  await lab.said('Training: done.');
  const kept = await losses(page);
  await train(page, 500);
  await expect.poll(async () => (await losses(page)).length, { timeout: 60_000 }).toBeGreaterThan(3);
  for (const worker of page.workers()) await worker.evaluate('self.lastDevice?.destroy()'); // the one that counts has none
  await page.getByRole('alert').filter({ hasText: 'The GPU was lost' }).waitFor();
  await lab.said('Training: failed.');
  await lab.button('Go on without the GPU').click();
  await page.getByText(/on wasm: /).waitFor();
  const note = await page.getByText(/^Kept from an earlier visit: \d+ steps/).textContent();
  const count = Number(/\d+/.exec(note!)![0]);
  expect(await losses(page)).toHaveLength(count);
  expect((await losses(page)).slice(0, 2)).toEqual(kept);
  await lab.button('One step').click();
  await made(page, count + 1);
  expect(await page.getByRole('alert').count()).toBe(0);
});
