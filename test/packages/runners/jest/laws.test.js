import { laws } from '../laws.js';

for (const [name, run] of laws) globalThis.test(name, run);
