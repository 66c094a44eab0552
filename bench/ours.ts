/** Our own backends, in the order of the table's rows. */
import type { Backend } from '@bax/core';
import { cpu } from '@bax/cpu';

export interface Engine {
  readonly name: string;
  open(): Promise<Backend>;
}

export const engines: readonly Engine[] = [{ name: 'bax cpu', open: async () => cpu() }];

export const ourNames: readonly string[] = engines.map(({ name }) => name);
