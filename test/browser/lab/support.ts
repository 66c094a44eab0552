/** The lab as a person has it before them: built, served and opened in a headless Chromium. */
import type { Browser, BrowserContextOptions, Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { type ServedApp, serveApp } from '../app.ts';
import { launch } from '../chromium.ts';

export interface Lab {
  /** Of the page that is open. */
  readonly page: Page;
  readonly url: string;
  /** What the pages asked, and were told to do. */
  readonly asked: readonly string[];
  /** Says no to the next question. */
  refuse(): void;
  /** A page that is empty yet. */
  blank(options?: BrowserContextOptions): Promise<Page>;
  /** Opens a page of its own: `?device=wasm#/training?r=4`. Ends when model, text and what is kept are there. */
  open(address?: string, options?: BrowserContextOptions): Promise<Page>;
  /** Waits for what the status line says at the end of a task. */
  said(text: string | RegExp): Promise<void>;
  button(name: string | RegExp): Locator;
}

/** One browser for a test file; each test opens its page. What the console calls an error fails the test. */
export function useLab(): Lab {
  let app: ServedApp;
  let browser: Browser;
  let page: Page | undefined;
  const trouble: string[] = [];
  const asked: string[] = [];
  let isRefused = false;
  beforeAll(async () => {
    [app, { browser }] = await Promise.all([serveApp('lab'), launch()]);
  }, 120_000);
  afterEach(async () => {
    await page?.context().close();
    page = undefined;
    expect(trouble.splice(0)).toEqual([]);
  });
  afterAll(async () => {
    await browser?.close();
    await app?.close();
  });
  const current = (): Page => {
    if (!page) throw new Error('no page is open');
    return page;
  };
  /** @throws what the page calls an error, unless that is what is waited for. */
  const said = async (text: string | RegExp): Promise<void> => {
    const alert = current().locator('.trouble p');
    const line = current().getByRole('status').filter({ hasText: text });
    const failed = alert.waitFor({ timeout: 0 }).then(async () => {
      throw new Error(`the page says: ${await alert.textContent()}`);
    });
    failed.catch(() => undefined); // also where the page is closed before
    await Promise.race([line.waitFor({ timeout: 120_000 }), failed]);
  };
  const blank = async (options: BrowserContextOptions = {}): Promise<Page> => {
    await page?.context().close();
    page = await (await browser.newContext({ locale: 'en-GB', ...options })).newPage();
    page.setDefaultTimeout(60_000);
    page.on('dialog', (dialog) => {
      asked.push(dialog.message());
      void (isRefused ? dialog.dismiss() : dialog.accept());
      isRefused = false;
    });
    page.on('pageerror', (error) => trouble.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && trouble.push(message.text()));
    return page;
  };
  return {
    get page() {
      return current();
    },
    get url() {
      return app.url;
    },
    asked,
    refuse: () => void (isRefused = true),
    blank,
    async open(address = '?device=wasm', options = {}) {
      const opened = await blank(options);
      await opened.goto(app.url + address);
      await opened.locator('#text-read').filter({ hasText: /\d/ }).waitFor({ timeout: 60_000 });
      await opened.locator('#text:enabled').waitFor(); // what is kept is there, too
      return opened;
    },
    said,
    button: (name) => current().getByRole('button', { name, exact: true }),
  };
}

/** Runs `script` in the page's worker before all else: what a browser that lacks something would be like. */
export const inWorker =
  (script: string) =>
  async (page: Page): Promise<void> => {
    await page.route(/\/assets\/worker-[^/]*\.js$/, async (route) => {
      const answer = await route.fetch();
      await route.fulfill({ response: answer, body: script + (await answer.text()) });
    });
  };

/** What a click gives to take home. */
export async function downloadOf(page: Page, button: Locator): Promise<Buffer> {
  const [download] = await Promise.all([page.waitForEvent('download'), button.click()]);
  const chunks: Buffer[] = [];
  for await (const chunk of await download.createReadStream()) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** The numbers behind a picture, as its CSV has them. */
export async function tableOf(page: Page, name: string): Promise<string[][]> {
  const button = page.getByRole('button', { name: `Numbers as CSV: ${name}`, exact: true });
  const cell = /(?:"((?:[^"]|"")*)"|([^,]*))(?:,|$)/g; // one that has a comma stands in quotes
  const cellsOf = (line: string): string[] =>
    [...`${line},`.matchAll(cell)].slice(0, -1).map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain);
  const csv = await downloadOf(page, button);
  expect(csv.subarray(0, 3)).toEqual(Buffer.from([0xef, 0xbb, 0xbf])); // or Excel would take it for Shift-JIS in Japan
  return csv.subarray(3).toString().split('\r\n').map(cellsOf);
} // prettier-ignore
