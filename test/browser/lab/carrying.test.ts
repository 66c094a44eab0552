/** Adapters that leave the page and come back: the same, whoever reads them; and what is no adapter changes nothing. */
import {
  attachLora, createGpt2, gpt2Config, key, LoraModel, memoryFolder, planLora, saveAdapter, type WritableFolder,
} from 'bax'; // prettier-ignore
import { unzipSync, type Zippable, zipSync } from 'fflate';
import type { Locator, Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { inNode } from './in-node.ts';
import { downloadOf, tableOf, useLab } from './support.ts';

const lab = useLab();
const TIME = { timeout: 240_000 };
const ADDRESS =
  '?device=wasm#/adapters?r=2&alpha=4&targets=q,c_fc&batch=2&context=16&tokens=10&temperature=0&lr=0.02';
const PROMPT = 'The whale';
const [CONFIG, WEIGHTS] = ['adapter_config.json', 'adapter_model.safetensors'];

async function opened(): Promise<Page> {
  const page = await lab.open(ADDRESS); // a browser that has nothing kept
  page.setDefaultTimeout(60_000);
  return page;
}
const item = (page: Page, name: string): Locator => page.getByRole('listitem', { name, exact: true });
async function taught(page: Page): Promise<Buffer> {
  await page.getByRole('region', { name: 'Many adapters' }).getByLabel('Steps').fill('6');
  await lab.button('Train an adapter').click();
  await item(page, 'moby-dick').waitFor();
  await lab.said('Training an adapter: done.');
  await lab.button('moby-dick alone').click();
  return downloadOf(page, lab.button('Export moby-dick as a PEFT directory in a .zip'));
}
const give = async (page: Page, ...files: readonly (readonly [name: string, bytes: Uint8Array])[]): Promise<void> =>
  page
    .getByLabel('Import an adapter')
    .setInputFiles(files.map(([name, bytes]) => ({ name, mimeType: '', buffer: Buffer.from(bytes) }))); // prettier-ignore
const next = async (page: Page): Promise<number[]> => {
  await page.waitForTimeout(500); // it follows what is imported
  return (await tableOf(page, 'What comes next')).slice(1).map((row) => Number(row.at(-2)));
};
async function written(page: Page): Promise<string | null> {
  await lab.button('Write with the blend').click();
  await lab.said('Writing: done.');
  return page.getByRole('region', { name: 'Many adapters' }).getByLabel('What the model wrote').textContent();
}
const filesOf = (zip: Uint8Array): Record<string, Uint8Array> =>
  Object.fromEntries(Object.entries(unzipSync(zip)).map(([name, bytes]) => [name.split('/')[1], bytes]));

it(
  'exported, and imported by another browser, it says the same to the bit, and in Node the same',
  TIME,
  async () => {
    let page = await opened();
    const zip = await taught(page);
    const [logits, words] = [await next(page), await written(page)];
    const files = filesOf(zip);
    expect(Object.keys(files)).toEqual([CONFIG, WEIGHTS]);

    for (const way of [[['home.zip', zip]], Object.entries(files), [['packed.zip', zipSync(files, { level: 9 })]]] as const) {
    page = await opened();
    await give(page, ...(way as [string, Uint8Array][]));
    await page.getByText(/^It is here as “[\w-]+”, and writes alone now\.$/).waitFor();
    expect(await next(page)).toEqual(logits);
    expect(await written(page)).toBe(words);
  } // prettier-ignore
    const node = await inNode();
    const lora = new LoraModel(node.base);
    lora.add('home', await node.adapter(zip));
    lora.activate('home');
    const wanted = await node.next(lora.model, PROMPT);
    const largest = Math.max(...wanted.map(Math.abs));
    logits.forEach((z, i) => expect(Math.abs(z - wanted[i]) / largest).toBeLessThan(2e-5));
    expect(words).toBe(await node.written(lora.model, PROMPT, 10));
    expect(words).not.toBe(await node.written(node.base, PROMPT, 10));
  },
);

it('what is no adapter for this model is refused in words, and nothing is lost', TIME, async () => {
  const page = await opened();
  const zip = await taught(page);
  const files = filesOf(zip);
  const logits = await next(page);
  const changed = (name: string, change: (bytes: Uint8Array) => Uint8Array): Zippable => ({
    ...files,
    [name]: change(files[name].slice()),
  });
  const text = (content: string): Uint8Array => new TextEncoder().encode(content);
  const last = (bytes: Uint8Array, value: number): Uint8Array => {
    new DataView(bytes.buffer, bytes.byteOffset).setFloat32(bytes.length - 4, value, true);
    return bytes;
  };
  const refused: [files: [string, Uint8Array][], says: RegExp][] = [
    [[['large.zip', new Uint8Array(50_000_000)]], /^That is 50 MB; an adapter for this model has less than 32 MB/],
    [[['bomb.zip', zipSync({ [CONFIG]: files[CONFIG], [WEIGHTS]: new Uint8Array(60_000_000) })]], /^That is 60 MB/],
    [[['notes.txt', text('Call me Ishmael.')]], /^The file is not a \.zip that can be read/],
    [[['half.zip', zip.subarray(0, zip.length / 2)]], /^The file is not a \.zip that can be read, or it is damaged/],
    [[['many.zip', zipSync(Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`${i}`, text('')])))]], /^The archive has 200 files/],
    [[['none.zip', zipSync({ 'a/readme.md': text('') })]], /^There is no adapter_config\.json\. Choose the \.zip/],
    [[['pickle.zip', zipSync({ [CONFIG]: files[CONFIG], 'adapter_model.bin': text('') })]], /^There is no adapter_model\.safetensors/],
    [[['two.zip', zipSync({ [`a/${CONFIG}`]: text('{}'), [`b/${CONFIG}`]: text('{}') })]], /^There are several adapters/],
    [[[WEIGHTS, files[WEIGHTS]]], /^There is no adapter_config\.json/],
    [[[CONFIG, files[CONFIG]], [WEIGHTS, files[WEIGHTS]], ['a.txt', text('')]], /^These files are not an adapter: adapter_config\.json, adapter_model\.safetensors, a\.txt/],
    [[['json.zip', zipSync(changed(CONFIG, () => text('{"r": 2')))]], /^The adapter cannot be used with this page’s model: .*Nothing was changed\./],
    [[['dora.zip', zipSync(changed(CONFIG, (bytes) => text(new TextDecoder().decode(bytes).replace('"use_dora": false', '"use_dora": true'))))]], /^The adapter cannot be used/],
    [[['nan.zip', zipSync(changed(WEIGHTS, (bytes) => last(bytes, NaN)))]], /^The adapter cannot be used .*not finite/],
    [[['short.zip', zipSync(changed(WEIGHTS, (bytes) => bytes.subarray(0, -8)))]], /^The adapter cannot be used/],
    [[['other.zip', await foreign()]], /^The adapter cannot be used/],
  ]; // prettier-ignore
  for (const [given, says] of refused) {
    await give(page, ...given);
    await page.getByRole('alert').filter({ hasText: says }).waitFor();
    await lab.said('Importing: failed.');
    await expect.poll(async () => page.getByLabel('Import an adapter').isEnabled()).toBe(true);
  }
  expect(await page.getByRole('region', { name: 'Many adapters' }).getByRole('listitem').count()).toBe(1);
  expect(await next(page)).toEqual(logits);

  // One with a readme and a Mac's leavings beside it is fine; it takes a name that is free.
  const peft = { 'moby-dick/README.md': text('#'), [`__MACOSX/moby-dick/._${CONFIG}`]: text('x') };
  await give(page, ['moby-dick.zip', zipSync({ ...unzipSync(zip), ...peft })]);
  await page.getByText('It is here as “moby-dick-2”, and writes alone now.').waitFor();
  expect(await page.getByRole('alert').count()).toBe(0);
  expect(await next(page)).toEqual(logits);
});

/** An adapter for a model of other sizes. */
async function foreign(): Promise<Uint8Array> {
  await inNode(); // for its backend
  const small = { n_layer: 2, n_embd: 16, n_head: 2, vocab_size: 13, n_positions: 16, eos_token_id: null, bos_token_id: null }; // prettier-ignore
  const base = createGpt2(gpt2Config(small), { key: key(3) });
  const folder: WritableFolder = memoryFolder();
  await saveAdapter(await attachLora(base, planLora(base, { r: 2, alpha: 4, targets: ['c_attn'] }), { key: key(5) }), folder); // prettier-ignore
  const files: Record<string, Uint8Array> = {};
  for (const name of await folder.list()) {
    const source = await folder.open(name);
    files[name] = await source.read(0, source.size);
  }
  return zipSync(files);
}
