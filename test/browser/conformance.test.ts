import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { conformance } from '@bax/check';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundle } from './bundle.ts';
import { launch } from './chromium.ts';
import { serve, type Server, type Variant } from './server.ts';
import type { Outcome } from './suite.ts';

let [folder, described] = ['', ''];
let server: Server;
let browser: Browser;

beforeAll(async () => {
  folder = await bundle();
  server = await serve(folder);
  ({ browser, described } = await launch());
  console.log(`browser tests: ${described}`);
}, 120_000); // the first time a browser is unpacked
afterAll(async () => {
  await browser?.close();
  server?.close();
  if (folder) await rm(folder, { recursive: true });
});

let pages = 0;
/** Opens the page with the headers of `variant` and waits for what it reports. */
async function open(variant: Variant, query = ''): Promise<Outcome> {
  const id = String(++pages);
  const page = await browser.newPage();
  const trouble: string[] = [];
  const failed = new Promise<never>((_, reject) => {
    page.on('pageerror', (error) => reject(error));
    page.on('crash', () => reject(new Error('the page crashed')));
    page.on('requestfailed', (request) =>
      reject(new Error(`${request.url()}: ${request.failure()?.errorText}`)),
    );
    page.on('response', (response) => {
      if (!response.ok()) reject(new Error(`${response.url()}: ${response.status()}`));
    });
  });
  page.on('console', (message) => message.type() === 'error' && trouble.push(message.text()));
  try {
    const posted = server.outcome(id);
    await Promise.race([page.goto(`${server.origin}/${variant}/page.html?id=${id}&${query}`), failed]);
    return JSON.parse(await Promise.race([posted, failed])) as Outcome;
  } catch (error) {
    throw new Error(`${described}, ${variant}: ${String(error)} ${trouble.join(' ')}`);
  } finally {
    failed.catch(() => undefined); // what fails once the page closes is nobody's concern
    await page.close();
  }
}

function expectPassed({ report, error }: Outcome, checks: number): void {
  expect(error).toBeUndefined();
  expect(report?.failures).toEqual([]);
  expect(report?.passed.length).toBe(checks);
}

describe('the WebAssembly backend in a browser', { timeout: 120_000 }, () => {
  it('passes the conformance suite on a plain page, on one thread', async () => {
    const outcome = await open('plain');
    expect(outcome).toMatchObject({ supported: true, isolated: false, main: true });
    expect(outcome.report?.adapter).toContain('one thread');
    expectPassed(outcome, conformance.length);
  });

  it("passes it under a Content-Security-Policy with 'wasm-unsafe-eval'", async () => {
    const outcome = await open('strict');
    expect(outcome).toMatchObject({ supported: true, isolated: false, main: true });
    expectPassed(outcome, conformance.length);
  });

  it('passes it in a worker of an isolated page, on two threads', async () => {
    const outcome = await open('isolated', 'worker&threads=2');
    expect(outcome).toMatchObject({ supported: true, isolated: true, main: false });
    expect(outcome.report?.adapter).toContain('2 threads');
    expectPassed(outcome, conformance.length);
  });

  it("starts its threads under a policy with worker-src 'self'", async () => {
    const outcome = await open('strict-isolated', 'worker&threads=2&only=matmul:');
    expect(outcome.report?.adapter).toContain('2 threads');
    expectPassed(outcome, conformance.filter(({ name }) => name.includes('matmul:')).length);
  });

  it('says so where threads are asked for and there can be none', async () => {
    const message =
      'wasm: this thread cannot share memory or may not wait: a page must be cross-origin isolated and run bax in a Worker; or leave out { threads }';
    expect(await open('plain', 'worker&threads=2')).toMatchObject({ isolated: false, error: message });
    expect(await open('isolated', 'threads=2')).toMatchObject({ isolated: true, main: true, error: message });
  });

  it('says so where a policy forbids WebAssembly', async () => {
    const error =
      'wasm: this engine runs no WebAssembly with SIMD (or a Content-Security-Policy forbids it); use cpu';
    expect(await open('forbidden')).toEqual({ supported: false, isolated: false, main: true, error });
  });

  it("is bundled with its worker as a file, which a policy of 'self' lets it load", async () => {
    const files = await readdir(join(folder, 'assets'));
    expect(files.filter((name) => /^worker-.*\.js$/.test(name)).length).toBeGreaterThan(0);
  });
});
