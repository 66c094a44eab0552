import type { Tensor } from '@bax/core';
import { crc32, type Module } from '@bax/nn';

/** A checksum of every parameter as it is held, by path: −0 is not +0 here. */
export async function fingerprints(model: Module): Promise<ReadonlyMap<string, number>> {
  const sums = new Map<string, number>();
  for (const [path, t] of model.namedParameters()) sums.set(path, await checksum(t));
  return sums;
}

async function checksum(t: Tensor): Promise<number> {
  const held = await t.held();
  return crc32(new Uint8Array(held.buffer, held.byteOffset, held.byteLength));
}

/** The first path of which the two differ. */
export const firstChange = (
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): string | undefined => [...before.keys()].find((path) => before.get(path) !== after.get(path));
