/** The program in Node, from node_modules or from a bundle: prints what was learnt as the last line. */
import { openFolder } from 'bax/node';
import { learnAll } from './program.ts';

async function main(): Promise<void> {
  const learned = await learnAll('cpu', 'wasm', 'auto');
  const files = await (await openFolder('.')).list();
  console.log(JSON.stringify({ learned, files }));
}
void main();
