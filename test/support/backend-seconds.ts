/** After a run: the seconds that its tests took on each kind of backend, and all others together. */
import type { Reporter, TestModule } from 'vitest/node';

export class BackendSeconds implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const seconds = new Map<string, number>();
    for (const module of modules)
      for (const test of module.children.allTests()) {
        const on = /^on '([^']+)'/.exec(test.fullName)?.[1] ?? 'the rest';
        seconds.set(on, (seconds.get(on) ?? 0) + (test.diagnostic()?.duration ?? 0) / 1000);
      }
    const lines = [...seconds].sort(([, a], [, b]) => b - a).map(([on, s]) => `${on} ${s.toFixed(0)}`);
    console.log(`seconds of tests: ${lines.join(', ')}`);
  }
}
