/** The same Dawn for the peers: they look for a GPU on `navigator`, which Node does not have. */
import type * as webgpu from 'webgpu';
import { load } from './load.ts';

let held: GPU | undefined;
export async function offerDawn(): Promise<void> {
  if (held) return;
  const { create, globals } = (await load(() => import('webgpu'))) as typeof webgpu;
  held = create([]);
  Object.assign(globalThis, globals);
  Object.defineProperty(globalThis, 'navigator', {
    value: { gpu: held, userAgent: 'Node' },
    configurable: true,
  });
}
