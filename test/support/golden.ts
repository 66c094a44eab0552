import { readFile } from 'node:fs/promises';
import { bytesSource, openSafetensors, type Safetensors } from '@bax/nn';

const folder = new URL('../golden/', import.meta.url);

export const goldenFile = async (name: string): Promise<Safetensors> =>
  openSafetensors(bytesSource(new Uint8Array(await readFile(new URL(name, folder))), name));
export const goldenJson = async (name: string): Promise<unknown> =>
  JSON.parse(await readFile(new URL(name, folder), 'utf8'));
