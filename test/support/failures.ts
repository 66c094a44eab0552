import { BaxError } from '@bax/core';
import { expect, test } from 'vitest';

/** Pins the exact text of each error: messages are API. */
export function failures(cases: readonly [message: string, f: () => unknown][]): void {
  test.each(cases)('%s', (message, f) => {
    expect(f).toThrow(new BaxError(message));
  });
}
