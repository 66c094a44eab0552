/**
 * Makes examples/app/screenshot.png: the page after it was taught three chapters of Moby-Dick.
 *
 *   npx tsx --conditions source test/browser/screenshot.ts
 */
import { fileURLToPath } from 'node:url';
import { mobyDick } from '../../examples/finetune/corpora.ts';
import { serveApp } from './app.ts';
import { launch } from './chromium.ts';

const FILE = fileURLToPath(new URL('../../examples/app/screenshot.png', import.meta.url));
const app = await serveApp();
const { browser } = await launch();
try {
  const page = await browser.newPage({ viewport: { width: 1000, height: 1080 } });
  const press = async (button: string, until: string): Promise<void> => {
    await page.getByRole('button', { name: button, exact: true }).click();
    await page.getByRole('status').filter({ hasText: until }).waitFor({ timeout: 300_000 });
  };
  await page.goto(`${app.url}?device=wasm`);
  await page.getByRole('status').filter({ hasText: 'Ready.' }).waitFor();
  await press('Load', 'The model is loaded.');
  await page.getByLabel('A text to learn from').fill(mobyDick().train.slice(0, 3).join('\n\n'));
  await page.getByLabel('Steps').fill('80');
  await press('Teach', 'Taught');
  await page.getByLabel('Keep it in this browser as').fill('moby-dick');
  await press('Save', 'Saved');
  await press('Write', 'Written.');
  await page.screenshot({ path: FILE });
} finally {
  await browser.close();
  await app.close();
}
