/** `npm run learn -- 4` runs a lesson; without a number it lists them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const here = import.meta.dirname;
const lessons = readdirSync(here).filter((name) => /^\d\d-.*\.ts$/.test(name)).sort(); // prettier-ignore
const wanted = process.argv[2];
const found = lessons.find((name) => Number(name.slice(0, 2)) === Number(wanted));

if (wanted === undefined) {
  for (const name of lessons) console.log(/Lesson \d.*/.exec(readFileSync(join(here, name), 'utf8'))![0]);
  console.log('\nTo run one: npm run learn -- 1');
} else if (found) {
  await import(`./${found}`);
} else {
  console.error(`learn: there is no lesson '${wanted}'; there are 1 to ${lessons.length}`);
  process.exitCode = 1;
}
