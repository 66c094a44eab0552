/** What PEFT's format has no place for, as JSON in the metadata of the weights file, which PEFT ignores. */
import { BaxError } from '@bax/core';
import type { OutputSlice } from '../layers/linear.ts';
import { isJsonObject, parseJson } from './json.ts';
import type { Safetensors } from './safetensors.ts';

/** The key of the metadata. */
export const RECORD_KEY = 'bax';
const MAX_BYTES = 1 << 20;

/** A branch as it is held here: of a slice, or with an empty name of the whole module. */
export interface BranchRecord extends OutputSlice {
  readonly name: string;
  readonly r: number;
  readonly alpha: number;
  /** Whether what was taken out of W lies behind its A and B. */
  readonly taken: boolean;
}
export interface AdapterRecord {
  /** The branches of the modules that hold more than a plain pair, in the order in which they are stored. */
  readonly slices: Readonly<Record<string, readonly BranchRecord[]>>;
  /** How the factors started that had a part of W taken out; see `LoraInit`. */
  readonly init?: 'pissa' | 'olora';
  readonly freezeA?: boolean;
  /** The fingerprint of the base model. */
  readonly base?: string;
}

export const writeRecord = (record: AdapterRecord): Record<string, string> =>
  Object.keys(record.slices).length + Object.keys(record).length > 1
    ? { [RECORD_KEY]: JSON.stringify({ version: 1, ...record }) }
    : {};

/** @throws if there is such metadata and it is malformed. */
export function readRecord(file: Safetensors): AdapterRecord {
  const text = file.metadata[RECORD_KEY];
  if (text === undefined) return { slices: {} };
  const bad = (why: string): never => {
    throw new BaxError(`loadAdapter: ${file.name}: metadata '${RECORD_KEY}' ${why}`);
  };
  const json = parseJson(text, { where: `${file.name}: metadata '${RECORD_KEY}'`, maxBytes: MAX_BYTES });
  if (!isJsonObject(json) || json['version'] !== 1) return bad('is not of version 1');
  const { slices, init, freezeA, base } = json;
  if (!isJsonObject(slices)) return bad('is not of version 1');
  const branches = Object.entries(slices).map(([path, list]): [string, BranchRecord[]] => {
    const wrong = (why: string): never => {
      throw changed(path, why);
    };
    if (!Array.isArray(list) || list.length === 0) return wrong('are no list of slices');
    return [
      path,
      list.map((s) => {
        if (!isJsonObject(s)) return wrong('are no list of slices');
        const { name, start, length, r, alpha, taken } = s;
        if (typeof name !== 'string' || !isSize(start) || !isSize(length))
          return wrong('are no list of slices');
        if (!isSize(r) || r < 1) return wrong(`have a rank of ${JSON.stringify(r)}`);
        if (!(typeof alpha === 'number' && alpha > 0)) return wrong(`have an α of ${JSON.stringify(alpha)}`);
        return { name, start, length, r, alpha, taken: taken === true };
      }),
    ];
  });
  if (init !== undefined && init !== 'pissa' && init !== 'olora')
    return bad(`says 'init' is ${JSON.stringify(init)}`);
  if (base !== undefined && typeof base !== 'string') return bad("says a 'base' that is no text");
  return {
    slices: Object.fromEntries(branches),
    ...(init ? { init } : {}),
    ...(freezeA === true ? { freezeA } : {}),
    ...(base !== undefined ? { base } : {}),
  };
}

/** A record that is not what was saved. */
export const changed = (path: string, why: string): BaxError =>
  new BaxError(
    `loadAdapter: the slices recorded for ${path} ${why}; the file was changed after it was saved`,
  );

const isSize = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0;
