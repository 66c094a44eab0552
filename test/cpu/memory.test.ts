import { cpu } from '@bax/cpu';
import { describe, expect, it } from 'vitest';

describe('memory', () => {
  it('counts what is live, pooled and was live at most', () => {
    const backend = cpu();
    expect(backend.memory()).toEqual({
      live: 0,
      pooled: 0,
      peak: 0,
      buffers: 0,
    });
    const a = backend.alloc(10, 'f32');
    const b = backend.alloc(3, 'f16');
    expect(backend.memory()).toEqual({
      live: 46,
      pooled: 0,
      peak: 46,
      buffers: 2,
    });
    backend.free(a);
    expect(backend.memory()).toEqual({
      live: 6,
      pooled: 40,
      peak: 46,
      buffers: 1,
    });
    const c = backend.alloc(10, 'f32');
    expect(backend.memory()).toEqual({
      live: 46,
      pooled: 0,
      peak: 46,
      buffers: 2,
    });
    backend.free(b);
    backend.free(c);
    expect(backend.memory()).toEqual({
      live: 0,
      pooled: 46,
      peak: 46,
      buffers: 0,
    });
  });

  it('reuses an array of the same type and length, and only such', () => {
    const backend = cpu();
    const first = backend.alloc(8, 'f32');
    const array = backend.peek!(first);
    backend.free(first);
    expect(backend.peek!(backend.alloc(8, 'i32'))).not.toBe(array);
    expect(backend.peek!(backend.alloc(7, 'f32'))).not.toBe(array);
    expect(backend.peek!(backend.alloc(8, 'f32'))).toBe(array);
    expect(backend.peek!(backend.alloc(8, 'f32'))).not.toBe(array);
  });

  it('never pools more than was once live', () => {
    const backend = cpu();
    for (let length = 1; length <= 100; length++) backend.free(backend.alloc(length, 'f32'));
    const { pooled, peak } = backend.memory();
    expect(peak).toBe(400);
    expect(pooled).toBeLessThanOrEqual(peak);
  });

  it('refuses a freed buffer', () => {
    const backend = cpu();
    const buffer = backend.alloc(4, 'f32');
    const view = { buffer, shape: [4], strides: [1], offset: 0 };
    backend.free(buffer);
    const message = 'cpu: a buffer of 4 f32 was used after it was freed';
    expect(() => backend.free(buffer)).toThrow(message);
    expect(() => backend.peek!(buffer)).toThrow(message);
    expect(() => backend.write(buffer, new Float32Array(4))).toThrow(message);
    expect(() => backend.reduce('sum', view, view)).toThrow(message);
    return expect(backend.read(buffer)).rejects.toThrow(message);
  });

  it('refuses the wrong kind of array', () => {
    const backend = cpu();
    const buffer = backend.alloc(5, 'f16');
    expect(() => backend.write(buffer, new Float32Array(5))).toThrow(
      'cpu: a f16 buffer cannot be written from a Float32Array',
    );
  });
});
