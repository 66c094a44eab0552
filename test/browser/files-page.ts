/** `nn` in a page, and in a worker of it, for tests to call. */
import './files-global.ts';

void new Worker(new URL('./files-global.ts', import.meta.url), { type: 'module' });
