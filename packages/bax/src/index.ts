/** What users install: the core and the nn package in one, and `device()`. */
export * from '@bax/core';
export * from '@bax/nn';
export { device, type DeviceName, type DeviceOptions } from './device.ts';
export { hollowGpu, type KernelCall } from './hollow-gpu.ts';
