/** `matmul.wgsl`; those that are made of a scalar expression are all called `map`. */
export const kernelName = (kernel: string): string =>
  kernel.startsWith('map ') ? 'map' : kernel.split('/').at(-1)!;
