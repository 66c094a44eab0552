/** What a user may ask for, and whether it can be had. */
import { BaxError } from '@bax/core';
import { type AdapterOptions, nameOf } from './adapter.ts';

export interface WebGpuOptions extends AdapterOptions {
  /** true demands a feature of the adapter, false does without it. Default: those that it has. */
  readonly features?: Readonly<Partial<Record<Feature, boolean>>>;
  /** Each call is submitted alone and waits for no other, so that a fault comes with the stack of the call that failed. Slow. */
  readonly debug?: boolean;
  /** The most bytes of freed memory that wait for reuse. Default 1 GiB. */
  readonly poolBytes?: number;
  /** Kernels for an adapter of another kind, and smaller bindings than it allows: for tests of what this one would never take. */
  readonly pretend?: { readonly software?: boolean; readonly maxBinding?: number };
}
export type Feature = 'shader-f16' | 'subgroups' | 'timestamp-query';
const FEATURES: readonly Feature[] = ['shader-f16', 'subgroups', 'timestamp-query'];

const NAMES = new Set([
  'powerPreference',
  'adapter',
  'software',
  'features',
  'debug',
  'poolBytes',
  'pretend',
]);

/** @throws BaxError if there is no option of a name, or one is not what it may be. */
export function checkOptions(options: WebGpuOptions): void {
  const unknown = Object.keys(options).find((name) => !NAMES.has(name));
  if (unknown !== undefined)
    throw new BaxError(`webgpu: there is no option '${unknown}'; choose among ${[...NAMES].join(', ')}`);
  const { powerPreference, software, debug, poolBytes } = options;
  const refuse = (name: string, value: unknown, may: string): never => {
    throw new BaxError(`webgpu: ${name} is ${JSON.stringify(value)}; it may be ${may}`);
  };
  if (powerPreference !== undefined && !['high-performance', 'low-power'].includes(powerPreference))
    refuse('powerPreference', powerPreference, "'high-performance' or 'low-power'");
  for (const [name, value] of Object.entries({ software, debug }))
    if (value !== undefined && typeof value !== 'boolean') refuse(name, value, 'true or false');
  if (poolBytes !== undefined && !(typeof poolBytes === 'number' && poolBytes >= 0))
    refuse('poolBytes', poolBytes, 'a number of bytes from 0');
}

/**
 * The features to ask the device for.
 * @throws BaxError if there is none of a name, or the adapter lacks one that is demanded.
 */
export function featuresOf(adapter: GPUAdapter, { features: wanted = {} }: WebGpuOptions): Feature[] {
  for (const [name, demanded] of Object.entries(wanted)) {
    if (!FEATURES.some((feature) => feature === name))
      throw new BaxError(`webgpu: there is no feature '${name}'; choose among ${FEATURES.join(', ')}`);
    if (demanded && !adapter.features.has(name))
      throw new BaxError(
        `webgpu: ${nameOf(adapter)} has no ${name}; leave out { features: { '${name}': true } }`,
      );
  }
  return FEATURES.filter((f) => adapter.features.has(f) && wanted[f] !== false);
}
