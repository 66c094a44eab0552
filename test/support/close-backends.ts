import { afterAll } from 'vitest';
import { closeBackends } from './backends.ts';

afterAll(closeBackends);
