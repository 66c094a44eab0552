/** The page as it is taken home: one file, opened from a disk, without a network. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { unzipSync } from 'fflate';
import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { downloadOf, tableOf, useLab } from './support.ts';

const lab = useLab();
const CHOICES = 'r=2&batch=1&context=16';

async function losses(page: Page): Promise<string[][]> {
  await page.getByRole('region', { name: 'Training' }).getByLabel('Steps').fill('3');
  await page.getByRole('button', { name: 'Train', exact: true }).click();
  await lab.said('Training: done.');
  return tableOf(page, 'Loss on the batch, nats a token');
}

it('trains the same from a disk and without a network as it does when it is served', { timeout: 240_000 }, async () => {
  const served = await lab.open(`?device=wasm#/training?${CHOICES}`);
  const archive = unzipSync(await downloadOf(served, served.getByRole('link', { name: /^Take this page home/ })));
  expect(Object.keys(archive).sort()).toEqual(['bax-lab/', 'bax-lab/README.txt', 'bax-lab/lab.html']);
  const wanted = await losses(served);
  expect(wanted).toHaveLength(4);

  const folder = await mkdtemp(join(tmpdir(), 'bax-lab-'));
  try {
    const file = join(folder, 'lab.html');
    await writeFile(file, archive['bax-lab/lab.html']);
    const page = await lab.blank({ offline: true });
    const asked: string[] = [];
    page.on('request', (request) => void asked.push(request.url()));
    await page.goto(`${pathToFileURL(file).href}?device=wasm#/training?${CHOICES}`);
    await page.locator('#text-read').filter({ hasText: /\d/ }).waitFor();
    expect(await page.getByRole('link', { name: /^Take this page home/ }).count()).toBe(0);
    expect(await losses(page)).toEqual(wanted);

    await page.getByRole('link', { name: 'The formula', exact: true }).click();
    await page.getByText('Numbers trained', { exact: true }).first().waitFor(); // the other worker has answered
    expect(asked.filter((url) => !/^(data|blob):/.test(url))).toEqual([page.url().split('#')[0]]);
    expect(await readdir(folder)).toEqual(['lab.html']);
  } finally {
    await rm(folder, { recursive: true });
  }
}); // prettier-ignore
