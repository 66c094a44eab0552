/**
 * Makes the pictures of the examples' pages, by using them: examples/app/screenshot.png, and of each view of the lab
 * examples/lab/pictures/<view>.png, in Japanese <view>.ja.png. Without names it makes them all.
 *
 *   npx tsx --conditions source test/browser/screenshots.ts [app] [lab] [lab-ja]
 */
import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { mobyDick } from '../../examples/finetune/corpora.ts';
import { en } from '../../examples/lab/src/words/en.ts';
import { ja } from '../../examples/lab/src/words/ja.ts';
import { serveApp } from './app.ts';
import { launch } from './chromium.ts';

const example = (path: string): string => fileURLToPath(new URL(`../../examples/${path}`, import.meta.url));
const LONG = { timeout: 600_000 };

/** The page after it was taught three chapters of Moby-Dick. */
async function app(browser: Browser): Promise<void> {
  const served = await serveApp('app');
  const page = await browser.newPage({ viewport: { width: 1000, height: 1080 } });
  const press = async (button: string, until: string): Promise<void> => {
    await page.getByRole('button', { name: button, exact: true }).click();
    await page.getByRole('status').filter({ hasText: until }).waitFor(LONG);
  };
  await page.goto(`${served.url}?device=wasm`);
  await page.getByRole('status').filter({ hasText: 'Ready.' }).waitFor();
  await press('Load', 'The model is loaded.');
  await page.getByLabel('A text to learn from').fill(mobyDick().train.slice(0, 3).join('\n\n'));
  await page.getByLabel('Steps').fill('80');
  await press('Teach', 'Taught');
  await page.getByLabel('Keep it in this browser as').fill('moby-dick');
  await press('Save', 'Saved');
  await press('Write', 'Written.');
  await page.screenshot({ path: example('app/screenshot.png') });
  await page.context().close();
  await served.close();
}

/** Each view after what a person would do in it. */
async function lab(browser: Browser, language: 'en' | 'ja'): Promise<void> {
  const served = await serveApp('lab');
  await mkdir(example('lab/pictures'), { recursive: true });
  const words = { en, ja }[language];
  const page = await browser.newPage({ viewport: { width: 1100, height: 900 }, locale: language });
  const go = async (view: keyof typeof words.views): Promise<void> =>
    page.getByRole('link', { name: words.views[view].name, exact: true }).click();
  const press = async (button: string, done?: string): Promise<void> => {
    await page.getByRole('button', { name: button, exact: true }).first().click();
    if (done)
      await page
        .getByRole('status')
        .filter({ hasText: words.done(done) })
        .waitFor(LONG);
  };
  const take = async (name: string): Promise<void> => {
    await page.mouse.move(0, 0);
    await page.waitForTimeout(1000); // until it has drawn
    const path = example(`lab/pictures/${name}${language === 'en' ? '' : `.${language}`}.png`);
    await page.locator('section.view').screenshot({ path });
  };
  await page.goto(`${served.url}?device=wasm#/formula`);
  await page.addStyleTag({ content: 'footer { position: static !important }' }); // it would lie over the views
  await page.locator('#text-read').filter({ hasText: /\d/ }).waitFor(LONG);
  await take('formula');

  await go('steps');
  await press(words.nextStep, words.stepping);
  await take('steps');

  await go('training');
  await page.getByLabel(words.alsoFull).check();
  await steps(page, words.steps, 60);
  await press(words.start, words.training);
  await take('training');

  await go('learned');
  await page
    .getByRole('status')
    .filter({ hasText: words.done(words.learned.reading) })
    .waitFor(LONG);
  await press(words.learned.other.train);
  await page.getByText(words.learned.other.scale).waitFor(LONG);
  await take('learned');

  await go('merged');
  await press(words.merge, words.merging);
  await take('merged');

  await go('adapters');
  for (const text of ['moby-dick', 'early-presidents'] as const) {
    await page.locator('#teach-text').selectOption(text);
    await press(words.shelf.teach, words.shelf.teaching);
  }
  await press(words.shelf.aloneOf('moby-dick'));
  await press(words.shelf.writeTogether, words.writing);
  await take('adapters');

  await go('hood');
  await press(words.hood.measure, words.hood.measuring);
  await page.getByRole('treeitem').filter({ hasText: 'loraLinear' }).last().click();
  await take('hood');

  await page.emulateMedia({ colorScheme: 'dark' });
  await page.setViewportSize({ width: 390, height: 844 });
  await go('training');
  await page.waitForTimeout(1000);
  await page.screenshot({
    path: example(`lab/pictures/phone${language === 'en' ? '' : `.${language}`}.png`),
  });
  await page.context().close();
  await served.close();
}
const steps = async (page: Page, label: string, count: number): Promise<void> =>
  page.locator('section.view').getByLabel(label, { exact: true }).fill(String(count));

const all = {
  app,
  lab: async (browser: Browser) => lab(browser, 'en'),
  'lab-ja': async (browser: Browser) => lab(browser, 'ja'),
};
const wanted = process.argv.slice(2);
const { browser } = await launch();
try {
  for (const [name, make] of Object.entries(all))
    if (wanted.length === 0 || wanted.includes(name)) await make(browser);
} finally {
  await browser.close();
}
