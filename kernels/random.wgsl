// out[e] = word e % 2 of Threefry-2x32-20's block (e / 2, 0) under the key: core's rng.ts. Salmon et al. 2011,
// https://doi.org/10.1145/2063384.2063405. A thread does one block: two words.

override SIZE: u32 = 64;

struct Params {
  key: vec2u,
  block: u32, // the first one's number
  count: u32, // words
  at: u32, // where the first one goes
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;

fn rotate(x: u32, by: u32) -> u32 {
  return (x << by) | (x >> (32 - by));
}

fn threefry(key: vec2u, counter: u32) -> vec2u {
  var keys = array<u32, 3>(key.x, key.y, key.x ^ key.y ^ 0x1bd11bdau);
  var x = vec2u(counter + keys[0], keys[1]);
  for (var i = 1u; i <= 5; i++) {
    let by = select(vec4u(17, 29, 16, 24), vec4u(13, 15, 26, 6), i % 2 == 1);
    for (var round = 0; round < 4; round++) {
      x.x += x.y;
      x.y = rotate(x.y, by[round]) ^ x.x;
    }
    x += vec2u(keys[i % 3], keys[(i + 1) % 3] + i);
  }
  return x;
}

@compute @workgroup_size(SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let block = (group.y * groups.x + group.x) * SIZE + local;
  let e = 2 * block;
  if (e >= p.count) {
    return;
  }
  let words = threefry(p.key, p.block + block);
  out[p.at + e] = words.x;
  if (e + 1 < p.count) {
    out[p.at + e + 1] = words.y;
  }
}
