const paths: string[] = [];

/**
 * Every mistake that a user can make is reported as a `BaxError`. The first line names the op, the rule that was
 * broken and the shapes; the second names the module that ran.
 */
export class BaxError extends Error {
  override readonly name = 'BaxError';
  constructor(message: string, options?: ErrorOptions) {
    super(currentPath() === '' ? message : `${message}\n  at ${currentPath()}`, options); // here, so that `stack` has it too
  }
}

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
  } finally {
    paths.pop();
  }
}
