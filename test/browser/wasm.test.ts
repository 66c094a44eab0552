import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { conformance } from '@bax/check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectPassed, openSuite, type SuitePage } from './suite-page.ts';

let suite: SuitePage;
beforeAll(async () => void (suite = await openSuite()), 120_000); // the first time a browser is unpacked
afterAll(async () => suite?.close());

describe('the WebAssembly backend in a browser', { timeout: 120_000 }, () => {
  it('passes the conformance suite on a plain page, on one thread', async () => {
    const outcome = await suite.open('plain', 'conformance');
    expect(outcome).toMatchObject({ supported: true, isolated: false, main: true });
    expect(outcome.result?.adapter).toContain('one thread');
    expectPassed(outcome, conformance.length);
  });

  it("passes it under a Content-Security-Policy with 'wasm-unsafe-eval': kernels for any formula are compiled there", async () => {
    const outcome = await suite.open('strict', 'conformance', { only: 'map:' });
    expect(outcome).toMatchObject({ supported: true, isolated: false, main: true });
    expectPassed(outcome, conformance.filter(({ name }) => name.includes('map:')).length);
  });

  it('passes it in a worker of an isolated page, on two threads', async () => {
    const outcome = await suite.open('isolated', 'conformance', { worker: true, threads: 2 });
    expect(outcome).toMatchObject({ supported: true, isolated: true, main: false });
    expect(outcome.result?.adapter).toContain('2 threads');
    expectPassed(outcome, conformance.length);
  });

  it("starts its threads under a policy with worker-src 'self'", async () => {
    const outcome = await suite.open('strict-isolated', 'conformance', {
      worker: true,
      threads: 2,
      only: 'matmul:',
    });
    expect(outcome.result?.adapter).toContain('2 threads');
    expectPassed(outcome, conformance.filter(({ name }) => name.includes('matmul:')).length);
  });

  it('says so where threads are asked for and there can be none', async () => {
    const message =
      'wasm: this thread cannot share memory or may not wait: a page must be cross-origin isolated and run bax in a Worker; or leave out { threads }';
    expect(await suite.open('plain', 'conformance', { worker: true, threads: 2 })).toMatchObject({
      isolated: false,
      error: message,
    });
    expect(await suite.open('isolated', 'conformance', { threads: 2 })).toMatchObject({
      isolated: true,
      main: true,
      error: message,
    });
  });

  it('says so where a policy forbids WebAssembly', async () => {
    const error =
      'wasm: this engine runs no WebAssembly with SIMD (or a Content-Security-Policy forbids it); use cpu';
    expect(await suite.open('strictest', 'conformance')).toEqual({
      supported: false,
      isolated: false,
      main: true,
      error,
    });
  });

  it("is bundled with its worker as a file, which a policy of 'self' lets it load", async () => {
    const files = await readdir(join(suite.folder, 'assets'));
    expect(files.filter((name) => /^worker-.*\.js$/.test(name)).length).toBeGreaterThan(0);
  });
});
