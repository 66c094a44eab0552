// Replaces some bits of up to two words: what a host's write of 8- or 16-bit elements leaves of the words at its ends.
// One thread.

struct Params {
  first: vec4u, // which word, a mask of the bits to replace, the bits
  last: vec4u,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> words: array<u32>;

@compute @workgroup_size(1)
fn main() {
  words[p.first.x] = (words[p.first.x] & ~p.first.y) | (p.first.z & p.first.y);
  words[p.last.x] = (words[p.last.x] & ~p.last.y) | (p.last.z & p.last.y);
}
