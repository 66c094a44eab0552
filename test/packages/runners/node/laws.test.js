import { test } from 'node:test';
import { laws } from '../laws.js';

for (const [name, run] of laws) void test(name, run);
