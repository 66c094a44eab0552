// y = x / (1 − p) where element e's random word, word e % 2 of Threefry's block e / 2 under the key, is at least p; else 0:
// the bits of random.wgsl, of which the upper 24 are compared. x, y [n].
// A thread does two blocks: four elements, of which those behind the n-th are of no use.

override SIZE: u32 = 64;

struct Params {
  key: vec2u,
  count: u32, // n / 4, rounded up
  least: u32, // p · 2²⁴
  scale: f32, // 1 / (1 − p)
  x: u32, // where x begins, in fours
  y: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;

fn rotate(x: u32, by: u32) -> u32 {
  return (x << by) | (x >> (32 - by));
}

fn mixed(x: vec2u, by: u32) -> vec2u {
  let sum = x.x + x.y;
  return vec2u(sum, rotate(x.y, by) ^ sum);
}
fn odd(x: vec2u) -> vec2u {
  return mixed(mixed(mixed(mixed(x, 13), 15), 26), 6);
}
fn even(x: vec2u) -> vec2u {
  return mixed(mixed(mixed(mixed(x, 17), 29), 16), 24);
}

fn threefry(key: vec2u, counter: u32) -> vec2u {
  let third = key.x ^ key.y ^ 0x1bd11bdau;
  var x = vec2u(counter + key.x, key.y);
  x = odd(x) + vec2u(key.y, third + 1);
  x = even(x) + vec2u(third, key.x + 2);
  x = odd(x) + vec2u(key.x, key.y + 3);
  x = even(x) + vec2u(key.y, third + 4);
  return odd(x) + vec2u(third, key.x + 5);
}

@compute @workgroup_size(SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * SIZE + local;
  if (i >= p.count) {
    return;
  }
  let words = vec4u(threefry(p.key, 2 * i), threefry(p.key, 2 * i + 1));
  y[p.y + i] = select(vec4f(0), x[p.x + i] * p.scale, (words >> vec4u(8)) >= vec4u(p.least));
}
