import { test } from 'vitest';
import { laws } from '../laws.js';

for (const [name, run] of laws) test(name, run);
