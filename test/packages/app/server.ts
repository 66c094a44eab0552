/**
 * Imports the modules that it is given in a process whose surroundings are traps, as a server does that renders a page,
 * and prints as the last line which of them were touched: by the import, and by calling nothing.
 */
const TRAPS = [
  'Bun', 'Deno', 'GPU', 'Worker', 'crypto', 'document', 'fetch', 'importScripts', 'indexedDB', 'localStorage', 'location',
  'navigator', 'process', 'self', 'window', 'XMLHttpRequest',
]; // prettier-ignore

declare const process: { readonly argv: readonly string[] };
const [, , ...modules] = process.argv;
const touched: string[] = [];
const before = TRAPS.map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)] as const);
for (const name of TRAPS)
  Object.defineProperty(globalThis, name, {
    configurable: true,
    get(): never {
      const where = new Error(`${name} was touched`);
      touched.push(`${name} ${where.stack?.split('\n')[2]?.trim() ?? ''}`);
      throw where; // also for typeof
    },
  });

async function importAll(): Promise<void> {
  const exported: Record<string, number> = {};
  for (const name of modules)
    try {
      exported[name] = Object.keys((await import(name)) as object).length;
    } catch (error) {
      touched.push(`${name}: ${String(error)}`);
    }
  for (const [name, descriptor] of before)
    if (descriptor) Object.defineProperty(globalThis, name, descriptor);
    else Reflect.deleteProperty(globalThis, name);
  console.log(JSON.stringify({ touched, exported }));
}
void importAll();
