/** The view of merging: the same answers within the bound, by the base's own calls. */
import { expect, it } from 'vitest';
import { tableOf, useLab } from './support.ts';

const lab = useLab();
const DIFFERENCES = '|merged − unmerged| of each logit after the last token, against what rounding allows';

it(
  'merged is unmerged, within the bound that is drawn, at the base’s cost',
  { timeout: 240_000 },
  async () => {
    const page = await lab.open('?device=wasm#/merged?batch=2&context=32&prompt=Call me');
    await page.getByText('Nothing is learned yet.').first().waitFor();
    await lab.button('Train 20 steps now').click();
    await lab.said('Training: done.');
    await lab.button('Merge').click();
    await lab.said('Merging: done.');
    const claim = (await page.getByText('Largest difference of all').textContent())!;
    const [difference, bound] = [...claim.matchAll(/\d[\d.]*(?:e-?\d+)?(?=\.? |\.$)/g)].map(([n]) =>
      Number(n),
    );
    expect(difference).toBeGreaterThan(0); // merging rounds, and says so
    expect(difference).toBeLessThanOrEqual(bound);
    expect(bound).toBeLessThan(1e-3);
    const each = (await tableOf(page, DIFFERENCES)).slice(1).map((row) => Number(row.at(-1)));
    expect(each).toHaveLength(2048);
    expect(Math.max(...each)).toBeLessThanOrEqual(difference * 1.05); // of the last token alone, and shown in two digits
    const layers = (await tableOf(page, 'Each merged matrix against W + (α/r) B A computed in f64')).slice(1);
    expect(layers).toHaveLength(16);
    for (const [path, error, allowed, used] of layers) {
      expect(path).toMatch(/^transformer\.h\.\d/);
      expect(Number(error)).toBeLessThanOrEqual(Number(allowed));
      expect(Number(used)).toBeGreaterThan(0.1); // a bound that is far off says nothing
    }

    // Beside W the adapter's factors are read; merged, nothing is read that the base does not read.
    const CALLS = 'Calls of a forward pass, and the kernels that a GPU is given for them';
    const calls = page.getByRole('region', { name: CALLS });
    await page.getByText('The merged model’s calls are the base’s, one by one').waitFor();
    const shapes = async (): Promise<string> => (await calls.textContent())!;
    expect(await shapes()).not.toContain('[8, 192]');
    await lab.button('Unmerge').click();
    await page.getByText('The adapter runs beside W.').waitFor();
    expect(await shapes()).toContain('[8, 192]');

    const given = (await tableOf(page, CALLS)).slice(1);
    const of = (which: string): string[][] =>
      given.filter(([model]) => model === which).map(([, ...call]) => call);
    const kernels = (which: string): number => of(which).flatMap((call) => call[3].split(' ')).length;
    expect(of('Base').map(([op, place]) => `${op} ${place}`)).toContain('linear transformer.h.0.attn.c_attn');
    expect(of('Merged')).toEqual(of('Base'));
    // Of each of the 16 adapted layers: A x and B of that, at the least.
    expect(kernels('With the adapter beside it')).toBeGreaterThanOrEqual(kernels('Base') + 2 * 16);
    await page.getByText(`Kernels for the base: ${kernels('Base')}. With the adapter beside it: ${kernels('With the adapter beside it')}. Merged: ${kernels('Base')}.`).waitFor(); // prettier-ignore

    await lab.button('Write with both').click();
    await lab.said('Writing: done.');
    const written = await page.locator('figure.written p').allTextContents();
    expect(written[0]).toMatch(/^Call me./);
    expect(written[1]).toBe(written[0]);

    // Another prompt asks for another proof.
    await page.getByLabel('Prompt').first().fill('It was');
    expect(await page.getByText('Largest difference of all').count()).toBe(0);
  },
);
