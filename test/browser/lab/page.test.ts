/** The page around the views: for everyone, in both languages, from a link, with wrong input, without a GPU. */
import { createRequire } from 'node:module';
import type { AxeResults } from 'axe-core';
import type { Request } from 'playwright-core';
import { expect, it } from 'vitest';
import { useLab } from './support.ts';

const lab = useLab();
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
/** What a first visit may fetch, in bytes: 4.5 MB of it are the model. */
const BUDGET = 7_000_000;

/** What axe-core finds wrong, in words. */
async function violations(): Promise<string[]> {
  await lab.page.addScriptTag({ path: AXE });
  await lab.page.addStyleTag({ content: '.scroll { background: none !important }' }); // it judges no text on gradients
  const { violations: found } = await lab.page.evaluate(async () =>
    (globalThis as unknown as { axe: { run(): Promise<AxeResults> } }).axe.run(),
  );
  return found.flatMap(({ id, help, nodes }) => nodes.map((n) => `${id}: ${help}: ${n.html.slice(0, 120)}`));
}
/** What reaches past the right edge, if the page can be scrolled there. */
const tooWide = async (): Promise<string[]> =>
  lab.page.evaluate(() =>
    document.documentElement.scrollWidth <= innerWidth
      ? []
      : [...document.querySelectorAll('body *')]
          .filter((e) => !e.closest('.katex-mathml') && e.getBoundingClientRect().right > innerWidth)
          .map((e) => e.outerHTML.slice(0, 90)),
  );
/** Boxes that scroll and that no key reaches. */
const unreached = async (): Promise<string[]> =>
  lab.page.evaluate(() =>
    [...document.querySelectorAll('.scroll:not([tabindex="0"][role="region"][aria-label])')]
      .filter((box) => !box.querySelector('[tabindex="0"]'))
      .map((box) => box.outerHTML.slice(0, 90)),
  );
const views = async (): Promise<string[]> =>
  lab.page.getByRole('navigation', { name: 'Views' }).getByRole('link').allTextContents();

it.each([
  ['light', 1200, 'en-GB'],
  ['dark', 390, 'ja-JP'],
] as const)('axe-core finds no violation: %s, %i pixels wide, %s', { timeout: 240_000 }, async (colorScheme, width, locale) => {
  const page = await lab.open('?device=wasm#/training?batch=1&context=16', { colorScheme, locale, viewport: { width, height: 800 }, bypassCSP: true });
  const start = page.getByRole('button', { name: /^(Train|学習する)$/ });
  await page.getByLabel(/^(Steps|ステップ数)$/).fill('3');
  await start.click();
  await page.getByRole('status').filter({ hasText: /(Training: done|学習：完了)/ }).waitFor({ timeout: 120_000 });
  const links = page.getByRole('navigation').getByRole('link');
  expect(await links.count()).toBeGreaterThan(2);
  for (const link of await links.all()) {
    await link.click();
    await page.waitForTimeout(500); // until it has drawn
    expect(await violations(), (await link.textContent())!).toEqual([]);
    expect(await tooWide(), 'it fits').toEqual([]);
    expect(await unreached()).toEqual([]);
  }
}); // prettier-ignore

it('all is done by keys alone', { timeout: 120_000 }, async () => {
  const page = await lab.open('?device=wasm#/training?batch=1&context=16');
  /** Tabs on until that has the focus. */
  const tabTo = async (role: 'button' | 'link' | 'spinbutton' | 'combobox', name: string): Promise<void> => {
    const wanted = page.getByRole(role, { name, exact: true });
    for (let i = 0; i < 80; i++) {
      await page.keyboard.press('Tab');
      if (await wanted.evaluate((element) => element === document.activeElement)) return;
    }
    throw new Error(`no Tab leads to ${name}`);
  };
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter'); // past what is above
  await tabTo('spinbutton', 'Steps');
  await page.keyboard.press('ControlOrMeta+A');
  await page.keyboard.type('2');
  await page.keyboard.press('Enter');
  await lab.said('Training: done.');
  await tabTo('combobox', 'Who writes');
  await page.keyboard.press('ArrowDown');
  await tabTo('button', 'Write');
  const written = page.getByRole('region', { name: 'Ask the model' }).getByLabel('What the model wrote');
  const live = await written.evaluateHandle((output) => {
    const seen: (string | null)[] = [];
    const note = (): unknown => seen.push(output.getAttribute('aria-live'));
    new MutationObserver(note).observe(output, { childList: true, characterData: true, subtree: true });
    return seen;
  });
  await page.keyboard.press('Enter');
  await lab.said('Writing: done.');
  const during = (await live.jsonValue()).slice(0, -1); // the last token may come with the end
  expect(during.length).toBeGreaterThan(2);
  expect(new Set(during)).toEqual(new Set(['off'])); // or a screen reader would begin again with each token
  expect(await written.getAttribute('aria-live')).toBe('polite');
  await tabTo('link', 'Merged or not');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Merged or not' }).waitFor();
});

it('the focus is not lost: it stays on a button that is off, and goes on to what takes a button’s place', { timeout: 120_000 }, async () => {
  const page = await lab.open('?device=wasm#/steps?r=2&targets=q&batch=1&context=8&tokens=5');
  const focused = async (): Promise<string> => page.evaluate(() => `${document.activeElement!.tagName}: ${document.activeElement!.textContent}`);
  const press = async (name: string): Promise<void> => page.getByRole('button', { name, exact: true, disabled: false }).press('Enter');
  await page.getByText('Step 0', { exact: true }).waitFor();
  await lab.said('Taking a step: done.');
  await press('Take a step');
  await page.getByText('Step 1', { exact: true }).waitFor();
  expect(await focused()).toBe('BUTTON: Take a step');
  await press('Step back');
  await page.getByText('Step 0', { exact: true }).waitFor();
  await lab.said('Taking a step: done.');
  await page.keyboard.press('Enter'); // there is no step before
  expect(await focused()).toBe('BUTTON: Step back');
  await page.getByText('Step 0', { exact: true }).waitFor();

  const prompt = page.getByRole('textbox', { name: 'Prompt' });
  await prompt.press('Enter');
  await lab.said('Writing: done.');
  expect(await prompt.evaluate((input) => input === document.activeElement)).toBe(true);
  await press('Write');
  await lab.said('Writing: done.');
  expect(await focused()).toBe('BUTTON: Write');

  await page.getByRole('link', { name: 'What was learned' }).click();
  await press('Train 20 steps now');
  await lab.said('Looking at what was learned: done.');
  expect(await focused()).toBe('H2: What was learned');
  await press('Look at all matrices');
  const all = page.getByRole('region', { name: 'All matrices' });
  await all.waitFor();
  await expect.poll(async () => all.evaluate((region) => region === document.activeElement)).toBe(true);

  await page.getByRole('link', { name: 'Many adapters' }).click();
  await page.getByLabel('Keep it as').fill('one');
  await lab.button('Keep').click();
  await press('Delete one');
  await lab.said('Deleting: done.');
  await expect.poll(focused).toBe('H3: Kept adapters');
}); // prettier-ignore

it('each view leads to its lesson, and to the line of the source that does it', async () => {
  const page = await lab.open();
  for (const view of await views()) {
    await page.getByRole('link', { name: view, exact: true }).click();
    for (const [link, marked] of [
      [/^The lesson: /, /^ \* Lesson \d: /],
      [/^The source: /, /\w+\(|class \w+/],
    ] as const) {
      await page.locator('.links').getByRole('button', { name: link }).click();
      const mark = page.getByRole('dialog').locator('mark');
      await mark.waitFor();
      expect(await mark.allTextContents(), view).toEqual([expect.stringMatching(marked)]);
      expect(await page.getByRole('dialog').locator('pre').textContent()).toContain('\n}');
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'hidden' });
    }
  }
});

it('a first visit fetches no more than its budget, from its own place, and is quick when it comes again', async () => {
  const page = await lab.blank();
  const seen: Request[] = [];
  page.on('requestfinished', (request) => void seen.push(request));
  const loaded = async (): Promise<void> => {
    await page.getByText('characters are').waitFor(); // the model, and a text
    await page.getByText('110,592 numbers are trained').waitFor();
  };
  await page.goto(`${lab.url}?device=wasm`);
  await loaded();
  const all = await Promise.all(seen.map(async (request) => (await request.sizes()).responseBodySize));
  expect(all.reduce((a, b) => a + b, 0)).toBeLessThan(BUDGET);
  for (const request of seen) expect(request.url().startsWith(lab.url)).toBe(true);
  seen.splice(0);
  await page.reload();
  await loaded();
  expect(seen.filter((request) => request.url().endsWith('model.safetensors'))).toEqual([]); // it is kept
});

it('a link restores what was chosen; what it cannot mean is left out', async () => {
  let page = await lab.open('?device=wasm#/training?r=3&alpha=6&targets=q,v&text=recent-presidents&seed=7');
  const value = async (label: string): Promise<string> => page.getByLabel(label, { exact: true }).inputValue();
  expect([await value('Rank r'), await value('α'), await value('Random seed')]).toEqual(['3', '6', '7']);
  expect(await value('Text to learn')).toBe('recent-presidents');
  const targets = page.getByRole('group', { name: 'Matrices with an adapter' });
  expect(await targets.getByRole('checkbox', { checked: true }).count()).toBe(2);
  await page.getByLabel('Rank r').fill('5');
  await page.waitForURL(/r=5/);
  const address = page.url();
  page = await lab.open(address.slice(lab.url.length));
  expect(await value('Rank r')).toBe('5');
  page = await lab.open('?device=wasm#/training?r=1000&alpha=x&targets=q,nothing&text=../secret');
  expect([await value('Rank r'), await value('α'), await value('Text to learn')]).toEqual(['8', '16', 'moby-dick']);
  expect(await page.getByRole('group', { name: 'Matrices with an adapter' }).getByRole('checkbox', { checked: true }).count()).toBe(6);
}); // prettier-ignore

it('what cannot be is said where it is typed, and not taken', async () => {
  const page = await lab.open('?device=wasm#/training');
  await page.getByLabel('Rank r').fill('65');
  await page.getByText('A whole number from 1 to 64.').waitFor();
  expect(page.url()).not.toContain('r=65');
  await page.getByLabel('Rank r').fill('2.5');
  await page.getByText('A whole number from 1 to 64.').waitFor();
  await page.getByLabel('Rank r').fill('6');
  expect(await page.getByText('A whole number from 1 to 64.').count()).toBe(0);

  const last = page.getByRole('checkbox', { name: 'mlp.c_proj' });
  for (const name of ['q', 'k', 'v', 'attn.c_proj', 'c_fc'])
    await page.getByRole('checkbox', { name, exact: true }).uncheck();
  const refusal = page.getByText('Choose one at least.');
  expect(await refusal.count()).toBe(0);
  await last.click();
  await refusal.waitFor();
  expect(await last.isChecked()).toBe(true);
  await page.waitForURL(/targets=mlp\.c_proj/);
  await page.getByRole('checkbox', { name: 'k', exact: true }).check();
  expect(await refusal.count()).toBe(0);
});

it('a number is typed digit by digit', async () => {
  const page = await lab.open('?device=wasm#/training');
  const rate = page.getByLabel('Learning rate of LoRA');
  await rate.press('ControlOrMeta+A');
  await rate.pressSequentially('0.002');
  expect(await rate.inputValue()).toBe('0.002');
  await page.waitForURL(/lr=0.002/);
  const steps = page.getByLabel('Steps', { exact: true });
  for (let i = 0; i < 2; i++) await steps.press('Backspace');
  await page.getByText('A whole number from 1 to 10,000.').waitFor();
  await steps.pressSequentially('20');
  expect(await steps.inputValue()).toBe('20');
});

it('a model whose loading was stopped is loaded when one asks again', async () => {
  const page = await lab.blank();
  await page.route('**/model.safetensors', async (route) => {
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByText('Loading the model: stopped.').waitFor();
    await page.unroute('**/model.safetensors');
    await route.continue().catch(() => undefined); // nobody waits for it any more
  });
  await page.goto(`${lab.url}?device=wasm`);
  await lab.button('Try again').click();
  await page.getByText('characters are').waitFor();
});

it('the link is whole: whoever opens it has these choices, also where they are the defaults', async () => {
  const page = await lab.blank();
  await page.addInitScript(() => {
    Object.defineProperty(navigator, 'clipboard', { value: { writeText: async (link: string) => { document.body.dataset.copied = link; } } }); // prettier-ignore
  });
  await page.goto(`${lab.url}?device=wasm`);
  await lab.button('Copy a link to these choices').click();
  await lab.said('The link is copied.');
  expect(await page.locator('body').getAttribute('data-copied')).toBe(`${lab.url}?device=wasm#/formula?text=moby-dick`); // prettier-ignore
  await page.evaluate(() => Object.defineProperty(navigator.clipboard, 'writeText', { value: async () => Promise.reject(new Error('refused')) })); // prettier-ignore
  await lab.button('Copy a link to these choices').click();
  await lab.said('take the link from the address bar');
});

it('a run is ended by another text only when that is wished', async () => {
  const page = await lab.open('?device=wasm#/training?batch=1&context=16');
  const choice = page.getByLabel('Text to learn', { exact: true }).first();
  await lab.button('One step').click();
  await lab.said('Training: done.');
  const before = lab.asked.length;
  await choice.selectOption('own');
  await choice.selectOption('moby-dick'); // the one that is in use
  expect(lab.asked.length).toBe(before);
  lab.refuse();
  await page.evaluate(() => void (location.hash = '#/training?text=recent-presidents&batch=1&context=16'));
  await expect.poll(() => lab.asked.slice(before)).toEqual([expect.stringContaining('This ends the run')]);
  expect(await choice.inputValue()).toBe('moby-dick');
  await page.getByText('1 step made').waitFor();
});

it('a text of one’s own: too short, no text, too large, in another script, and one that will do', { timeout: 120_000 }, async () => {
  const page = await lab.open('?device=wasm#/steps');
  await lab.said('Taking a step: done.'); // by itself, and no button is pressed meanwhile
  const alert = page.locator('.trouble');
  await page.getByLabel('Text to learn').selectOption('own');
  await page.getByLabel('Paste a text here').fill('Too short.');
  await lab.button('Use this text').click();
  await alert.filter({ hasText: /too short to learn from: it has \d tokens, and 400 are needed/ }).waitFor();
  await page.getByText('Not in use yet: press “Use this text”. Until then “Moby-Dick, 1851” is learned.').waitFor();

  const file = page.getByLabel('or open a file');
  const give = async (name: string, buffer: Buffer): Promise<void> => file.setInputFiles({ name, mimeType: 'text/plain', buffer });
  await give('large.txt', Buffer.alloc(9_000_000, 'a'));
  await alert.filter({ hasText: 'The file has 9 MB; open one of at most 8 MB.' }).waitFor();
  await give('picture.png', Buffer.from([0x89, 0x50, 0x4e, 0x47, 0xff, 0xfe]));
  await alert.filter({ hasText: 'The file is not a text in UTF-8.' }).waitFor();

  await give('kokoro.txt', Buffer.from('私はその人を常に先生と呼んでいた。だからここでもただ先生と書くだけで本名は打ち明けない。'.repeat(12)));
  await lab.button('Use this text').click();
  await page.getByText('takes more than one token a character').waitFor();
  await lab.said('Taking a step: done.');
  await page.getByText('Step 0', { exact: true }).waitFor();

  await page.getByLabel('Paste a text here').fill('It rained on the first day and we walked. '.repeat(60));
  await lab.button('Use this text').click();
  await page.getByText('2,520 characters').waitFor();
  await page.reload();
  await page.getByText('2,520 characters').waitFor(); // it is still there
}); // prettier-ignore

it('a text for which the browser has no room is learned, and said to be gone later', async () => {
  const page = await lab.blank();
  await page.addInitScript(() => {
    const set = Object.getOwnPropertyDescriptor(Storage.prototype, 'setItem')!.value as Storage['setItem'];
    Storage.prototype.setItem = function (name, value) {
      if (name === 'bax-lab.own' && value.length > 2000) throw new DOMException('full', 'QuotaExceededError');
      set.call(this, name, value);
    };
  });
  await page.goto(`${lab.url}?device=wasm#/formula?text=own`);
  const use = async (sentence: string, times: number): Promise<void> => {
    await page.getByLabel('Text to learn').selectOption('own');
    await page.getByLabel('Paste a text here').fill(sentence.repeat(times));
    await lab.button('Use this text').click();
  };
  await use('It rained, and we walked. ', 60);
  await page.getByText('1,560 characters').waitFor();
  await use('It rained on the first day and we walked. ', 60);
  await page.getByText('This text is in use, but has no room in this browser').waitFor();
  expect(await page.evaluate(() => localStorage.getItem('bax-lab.own'))).toBe(null);
});

it('the way back leads to a view and changes nothing; an address that is typed chooses its text', async () => {
  const page = await lab.open('?device=wasm#/formula?text=early-presidents');
  const read = page.locator('#text-read');
  const choice = page.getByLabel('Text to learn', { exact: true }).first();
  await read.filter({ hasText: '63,351 tokens' }).waitFor();
  await page.getByRole('link', { name: 'Training', exact: true }).click();
  await choice.selectOption('recent-presidents');
  await read.filter({ hasText: '71,150 tokens' }).waitFor();
  const caution = page.getByText('The base has read the addresses that are trained on here');
  await caution.waitFor();
  await page.goBack();
  await page.getByRole('heading', { name: 'The formula' }).waitFor();
  expect(await choice.inputValue()).toBe('recent-presidents');
  expect(await read.textContent()).toContain('71,150 tokens');
  await page.waitForURL(/formula\?text=recent-presidents/); // the address follows
  await page.evaluate(() => void (location.hash = '#/training?text=moby-dick'));
  await read.filter({ hasText: '87,329 tokens' }).waitFor();
  expect(await caution.count()).toBe(0);
  expect(await choice.inputValue()).toBe('moby-dick');
});

it('without WebGPU it says what to switch on, and goes on without', async () => {
  const page = await lab.open('');
  await page.getByText('It computes without a GPU').waitFor();
  await page.getByText('To use a GPU').click();
  await page.getByText('hardware acceleration').waitFor();
  await page.getByText(/^device: auto takes wasm \(.+\)$/).waitFor(); // what the browser said
  await page.getByText('on wasm: WebAssembly').waitFor();
});

it('where storage is refused it says so, and works', async () => {
  const page = await lab.blank();
  await page.addInitScript(() => {
    Object.defineProperty(globalThis, 'localStorage', { get: () => { throw new DOMException('refused', 'SecurityError'); } }); // prettier-ignore
  });
  await page.goto(`${lab.url}?device=wasm#/steps`);
  await page.getByText('This browser keeps nothing for this page').waitFor();
  await page.getByText('Step 0', { exact: true }).waitFor();
  expect(await views()).toContain('Training');
});

it('says all of it in Japanese', async () => {
  const page = await lab.open('?device=wasm#/steps');
  await page.getByLabel('Language').selectOption('ja');
  await page.getByRole('heading', { name: 'LoRA が学ぶのを見る' }).waitFor();
  expect(await page.evaluate(() => document.documentElement.lang)).toBe('ja');
  await page.reload();
  await page.getByRole('heading', { name: '最初の数ステップ' }).waitFor();
  const english = /[A-Za-z]{4,}/g;
  const allowed = /LoRA|Transformer|WebGPU|Chrome|Edge|Safari|Firefox|Moby|AdamW|GPT|WebAssembly|SIMD|wasm|with fused multiply-add|threads?|transformer\.h\.\d\.[a-z_.]+|English|steps\.ts|first/g;
  const text = (await page.locator('body').innerText()).replace(allowed, '');
  expect(text.match(english) ?? []).toEqual([]);
}); // prettier-ignore
