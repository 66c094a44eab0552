// out[b, i, j] = scale · Σ_k a[b, i, k] b[b, k, j] (+ out): any strides, any storage, in f32 or i32.
// The first rung: one thread an element, straight from the definition. It is the oracle of the others, and what small or
// odd products run on.

alias T = f32;
override A_STORAGE: u32 = 0; // 0 T, 1 f16, 2 bf16, 3 u8, 4 u32
override B_STORAGE: u32 = 0;
override SIZE: u32 = 64;

struct Params {
  batch: vec4u, // lengths of the batch's axes, innermost first
  aBatch: vec4i, // strides along them
  bBatch: vec4i,
  outBatch: vec4i,
  a: i32, // where a begins
  b: i32,
  out: i32,
  m: u32,
  n: u32,
  k: u32,
  aRow: i32, // strides
  aColumn: i32,
  bRow: i32,
  bColumn: i32,
  outRow: i32,
  outColumn: i32,
  count: u32, // elements of out
  accumulate: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<u32>;
@group(0) @binding(2) var<storage, read> b: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<T>;

fn half(word: u32, at: i32) -> f32 {
  return unpack2x16float(word)[at & 1];
}
fn brain(word: u32, at: i32) -> f32 {
  return bitcast<f32>((word >> (u32(at & 1) * 16)) << 16);
}
fn byte(word: u32, at: i32) -> u32 {
  return (word >> (u32(at & 3) * 8)) & 0xff;
}

fn loadA(at: i32) -> T {
  switch A_STORAGE {
    case 1: { return T(half(a[at >> 1], at)); }
    case 2: { return T(brain(a[at >> 1], at)); }
    case 3: { return T(byte(a[at >> 2], at)); }
    case 4: { return T(a[at]); }
    default: { return bitcast<T>(a[at]); }
  }
}
fn loadB(at: i32) -> T {
  switch B_STORAGE {
    case 1: { return T(half(b[at >> 1], at)); }
    case 2: { return T(brain(b[at >> 1], at)); }
    case 3: { return T(byte(b[at >> 2], at)); }
    case 4: { return T(b[at]); }
    default: { return bitcast<T>(b[at]); }
  }
}

@compute @workgroup_size(SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let e = (group.y * groups.x + group.x) * SIZE + local;
  if (e >= p.count) {
    return;
  }
  let j = i32(e % p.n);
  var rest = e / p.n;
  let i = i32(rest % p.m);
  rest /= p.m;
  var atA = p.a + i * p.aRow;
  var atB = p.b + j * p.bColumn;
  var to = p.out + i * p.outRow + j * p.outColumn;
  for (var axis = 0; axis < 4; axis++) {
    let index = i32(rest % p.batch[axis]);
    rest /= p.batch[axis];
    atA += index * p.aBatch[axis];
    atB += index * p.bBatch[axis];
    to += index * p.outBatch[axis];
  }
  var sum = T(0);
  for (var k = 0u; k < p.k; k++) {
    sum += loadA(atA) * loadB(atB);
    atA += p.aColumn;
    atB += p.bRow;
  }
  var y = sum * T(p.scale);
  if (p.accumulate != 0) {
    y += out[to];
  }
  out[to] = y;
}
