import { learnAll } from './program.ts';

void learnAll('wasm').then((learned) => postMessage(learned));
