/**
 * Every mistake that a user can make is reported as a `BaxError`. The first line names the op, the rule that was
 * broken and the shapes; the following lines name the module in which it happened.
 */
export class BaxError extends Error {
  override readonly name = 'BaxError';
}

const paths: string[] = [];

/** The module that runs now, e.g. `transformer.h.1.attn.c_attn`; empty outside of any module. */
export function currentPath(): string {
  return paths.at(-1) ?? '';
}

/** Runs `f` as part of the module at `path`: ops recorded in it carry the path, and errors that leave it name it. */
export function within<T>(path: string, f: () => T): T {
  if (path === '') return f();
  paths.push(path);
  try {
    return f();
  } catch (error) {
    if (error instanceof BaxError && !error.message.includes('\n  at ')) error.message += `\n  at ${path}`;
    throw error;
  } finally {
    paths.pop();
  }
}
