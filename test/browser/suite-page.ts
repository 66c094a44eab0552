/** The suite's page, as tests open it: with the headers of a variant, in the window or in a worker. */
import { rm } from 'node:fs/promises';
import type { Browser } from 'playwright-core';
import { expect } from 'vitest';
import { bundle } from './bundle.ts';
import { launch, type LaunchOptions } from './chromium.ts';
import { serve, type Variant } from './server.ts';
import type { Outcome, Program, Wanted } from './suite.ts';

export interface Asked extends Partial<Omit<Wanted, 'program'>> {
  readonly worker?: boolean;
  /** The name of this machine in the page's address. Default 127.0.0.1, which browsers take for secure. */
  readonly host?: string;
  /** Runs in the page before anything of it. */
  readonly before?: () => void;
  /** Another browser than the one that the tests share. */
  readonly browser?: Browser;
}

export interface SuitePage {
  readonly described: string;
  /** Where the page's files are. */
  readonly folder: string;
  open<P extends Program>(variant: Variant, program: P, asked?: Asked): Promise<Outcome<P>>;
  close(): Promise<void>;
}

export async function openSuite(options: LaunchOptions = {}): Promise<SuitePage> {
  const folder = await bundle();
  const server = await serve(folder);
  const { browser: shared, described } = await launch(options);
  console.log(`browser tests: ${described}`);
  let pages = 0;
  return {
    described,
    folder,
    async open<P extends Program>(
      variant: Variant,
      program: P,
      { browser = shared, host, before, worker = false, software = true, ...asked }: Asked = {},
    ): Promise<Outcome<P>> {
      const id = String(++pages);
      const query = new URLSearchParams({ id, program, backend: 'wasm' });
      for (const [name, value] of Object.entries(asked)) query.set(name, String(value));
      if (worker) query.set('worker', '');
      if (software) query.set('software', '');
      const origin = host === undefined ? server.origin : server.origin.replace('127.0.0.1', host);
      const page = await browser.newPage();
      if (before) await page.addInitScript(before);
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
        await Promise.race([page.goto(`${origin}/${variant}/page.html?${query}`), failed]);
        return JSON.parse(await Promise.race([posted, failed])) as Outcome<P>;
      } catch (error) {
        throw new Error(`${described}, ${variant}: ${String(error)} ${trouble.join(' ')}`);
      } finally {
        failed.catch(() => undefined); // what fails once the page closes is nobody's concern
        await page.close();
      }
    },
    async close() {
      await shared.close();
      server.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** All of so many checks hold. */
export function expectPassed({ result, error }: Outcome<'conformance' | 'lora'>, checks: number): void {
  expect(error).toBeUndefined();
  expect(result?.failures).toEqual([]);
  expect(result?.passed.length).toBe(checks);
}
