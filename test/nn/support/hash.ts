import { createHash } from 'node:crypto';
import type { Tensor } from '@bax/core';
import type { Module } from '@bax/nn';

/** Of the bytes themselves: here −0 and +0 differ, and so do NaNs. */
export async function hashOf(t: Tensor): Promise<string> {
  const data = await t.data();
  return createHash('sha256')
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest('hex');
}

/** Of each named tensor, by its name. */
export async function hashes(tensors: ReadonlyMap<string, Tensor>): Promise<Record<string, string>> {
  const all: Record<string, string> = {};
  for (const [name, t] of tensors) all[name] = await hashOf(t);
  return all;
}
/** Of every parameter of a model, by its path. */
export const modelHashes = async (model: Module): Promise<Record<string, string>> =>
  hashes(model.namedParameters());
