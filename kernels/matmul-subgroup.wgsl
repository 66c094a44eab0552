// out[b, i, j] = scale · Σ_k a[b, i, k] b[b, k, j] + bias[j], or + out, for adapters on which reading memory is dear and a subgroup is a
// vector of the processor (lavapipe): no workgroup memory, no barrier.
// A workgroup is one subgroup of 8 and does 16 rows of 32 columns; a lane does 4 columns, in 16 registers of 4. For every 4
// terms a lane reads 2 rows of a, which are handed round by broadcast.

enable subgroups;

const LANES = 8u; // of a subgroup
override START: u32 = 0; // sums begin with 0 nothing, 1 the bias, 2 what is in out; both for scale 1
override B_ALONG_K: bool = false; // b's columns lie in one piece, not its rows
override B_STORAGE: u32 = 0; // 0 f32, 1 f16, 2 bf16; sums are f32

struct Params {
  batch: vec4u, // lengths of the batch's axes, innermost first
  aBatch: vec4i, // strides along them, in vectors of 4
  bBatch: vec4i,
  outBatch: vec4i,
  a: u32, // where a begins, in vectors; so all that follows
  b: u32,
  out: u32,
  aRow: u32,
  bRow: u32, // from row to row of b; or from column to column
  outRow: u32,
  m: u32,
  k: u32, // terms
  columns: u32, // vectors of a row of out
  bias: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4u>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;

// Four elements of b from 4 · at on: a vector, or half of one where they are narrow.
fn fourOf(at: u32) -> vec4f {
  if (B_STORAGE == 0) {
    return bitcast<vec4f>(b[at]);
  }
  let two = b[at / 2];
  let pairs = select(two.xy, two.zw, at % 2 == 1);
  if (B_STORAGE == 1) {
    return vec4f(unpack2x16float(pairs.x), unpack2x16float(pairs.y));
  }
  return bitcast<vec4f>(vec4u(pairs.x << 16, pairs.x & 0xffff0000, pairs.y << 16, pairs.y & 0xffff0000));
}
fn first(at: u32, bias: vec4f) -> vec4f {
  if (START == 2) {
    return out[at];
  }
  return bias;
}
fn put(at: u32, inside: bool, sum: vec4f) {
  if (inside) {
    out[at] = p.scale * sum;
  }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  var rest = group.z;
  var baseA = i32(p.a);
  var baseB = i32(p.b);
  var baseOut = i32(p.out);
  for (var axis = 0; axis < 4; axis++) {
    let index = i32(rest % p.batch[axis]);
    rest /= p.batch[axis];
    baseA += index * p.aBatch[axis];
    baseB += index * p.bBatch[axis];
    baseOut += index * p.outBatch[axis];
  }
  let row = group.y * 16;
  let column = group.x * LANES + lane;
  // Beyond the edges the last row and column are done again, and not stored.
  let atB = u32(baseB) + min(column, p.columns - 1) * select(1u, 4 * p.bRow, B_ALONG_K);
  let atOut = u32(baseOut) + min(column, p.columns - 1);
  let low = u32(baseA) + min(row + lane, p.m - 1) * p.aRow;
  let high = u32(baseA) + min(row + LANES + lane, p.m - 1) * p.aRow;
  var start = vec4f();
  if (START == 1) {
    start = bias[p.bias + min(column, p.columns - 1)];
  }
  var s0 = first(atOut + min(row + 0, p.m - 1) * p.outRow, start);
  var s1 = first(atOut + min(row + 1, p.m - 1) * p.outRow, start);
  var s2 = first(atOut + min(row + 2, p.m - 1) * p.outRow, start);
  var s3 = first(atOut + min(row + 3, p.m - 1) * p.outRow, start);
  var s4 = first(atOut + min(row + 4, p.m - 1) * p.outRow, start);
  var s5 = first(atOut + min(row + 5, p.m - 1) * p.outRow, start);
  var s6 = first(atOut + min(row + 6, p.m - 1) * p.outRow, start);
  var s7 = first(atOut + min(row + 7, p.m - 1) * p.outRow, start);
  var s8 = first(atOut + min(row + 8, p.m - 1) * p.outRow, start);
  var s9 = first(atOut + min(row + 9, p.m - 1) * p.outRow, start);
  var s10 = first(atOut + min(row + 10, p.m - 1) * p.outRow, start);
  var s11 = first(atOut + min(row + 11, p.m - 1) * p.outRow, start);
  var s12 = first(atOut + min(row + 12, p.m - 1) * p.outRow, start);
  var s13 = first(atOut + min(row + 13, p.m - 1) * p.outRow, start);
  var s14 = first(atOut + min(row + 14, p.m - 1) * p.outRow, start);
  var s15 = first(atOut + min(row + 15, p.m - 1) * p.outRow, start);
  for (var k = 0u; k < p.k; k += 4) {
    let at = k / 4;
    var b0: vec4f;
    var b1: vec4f;
    var b2: vec4f;
    var b3: vec4f;
    if (B_ALONG_K) {
      let c0 = fourOf(atB + at);
      let c1 = fourOf(atB + p.bRow + at);
      let c2 = fourOf(atB + 2 * p.bRow + at);
      let c3 = fourOf(atB + 3 * p.bRow + at);
      b0 = vec4f(c0.x, c1.x, c2.x, c3.x);
      b1 = vec4f(c0.y, c1.y, c2.y, c3.y);
      b2 = vec4f(c0.z, c1.z, c2.z, c3.z);
      b3 = vec4f(c0.w, c1.w, c2.w, c3.w);
    } else {
      // a is 0 beyond its terms; there b's last row stands for those that are not there.
      let last = p.k - 1;
      b0 = fourOf(atB + k * p.bRow);
      b1 = fourOf(atB + min(k + 1, last) * p.bRow);
      b2 = fourOf(atB + min(k + 2, last) * p.bRow);
      b3 = fourOf(atB + min(k + 3, last) * p.bRow);
    }
    let a0 = a[low + at];
    let a1 = a[high + at];
    var x: vec4f;
    x = subgroupBroadcast(a0, 0);
    s0 = fma(vec4f(x.w), b3, fma(vec4f(x.z), b2, fma(vec4f(x.y), b1, fma(vec4f(x.x), b0, s0))));
    x = subgroupBroadcast(a0, 1);
    s1 = fma(vec4f(x.w), b3, fma(vec4f(x.z), b2, fma(vec4f(x.y), b1, fma(vec4f(x.x), b0, s1))));
    x = subgroupBroadcast(a0, 2);
    s2 = fma(vec4f(x.w), b3, fma(vec4f(x.z), b2, fma(vec4f(x.y), b1, fma(vec4f(x.x), b0, s2))));
    x = subgroupBroadcast(a0, 3);
    s3 = fma(vec4f(x.w), b3, fma(vec4f(x.z), b2, fma(vec4f(x.y), b1, fma(vec4f(x.x), b0, s3))));
    x = subgroupBroadcast(a0, 4);
    s4 = fma(vec4f(x.w), b3, fma(vec4f(x.z), b2, fma(vec4f(x.y), b1, fma(vec4f(x.x), b0, s4))));
    x = subgroupBroadcast(a0, 5);
    s5 = fma(vec4f(x.w), b3, fma(vec4f(x.z), b2, fma(vec4f(x.y), b1, fma(vec4f(x.x), b0, s5))));
    x = subgroupBroadcast(a0, 6);
    s6 = fma(vec4f(x.w), b3, fma(vec4f(x.z), b2, fma(vec4f(x.y), b1, fma(vec4f(x.x), b0, s6))));
    x = subgroupBroadcast(a0, 7);
    s7 = fma(vec4f(x.w), b3, fma(vec4f(x.z), b2, fma(vec4f(x.y), b1, fma(vec4f(x.x), b0, s7))));
    x = subgroupBroadcast(a1, 0);
    s8 = fma(vec4f(x.w), b3, fma(vec4f(x.z), b2, fma(vec4f(x.y), b1, fma(vec4f(x.x), b0, s8))));
    x = subgroupBroadcast(a1, 1);
    s9 = fma(vec4f(x.w), b3, fma(vec4f(x.z), b2, fma(vec4f(x.y), b1, fma(vec4f(x.x), b0, s9))));
    x = subgroupBroadcast(a1, 2);
    s10 = fma(vec4f(x.w), b3, fma(vec4f(x.z), b2, fma(vec4f(x.y), b1, fma(vec4f(x.x), b0, s10))));
    x = subgroupBroadcast(a1, 3);
    s11 = fma(vec4f(x.w), b3, fma(vec4f(x.z), b2, fma(vec4f(x.y), b1, fma(vec4f(x.x), b0, s11))));
    x = subgroupBroadcast(a1, 4);
    s12 = fma(vec4f(x.w), b3, fma(vec4f(x.z), b2, fma(vec4f(x.y), b1, fma(vec4f(x.x), b0, s12))));
    x = subgroupBroadcast(a1, 5);
    s13 = fma(vec4f(x.w), b3, fma(vec4f(x.z), b2, fma(vec4f(x.y), b1, fma(vec4f(x.x), b0, s13))));
    x = subgroupBroadcast(a1, 6);
    s14 = fma(vec4f(x.w), b3, fma(vec4f(x.z), b2, fma(vec4f(x.y), b1, fma(vec4f(x.x), b0, s14))));
    x = subgroupBroadcast(a1, 7);
    s15 = fma(vec4f(x.w), b3, fma(vec4f(x.z), b2, fma(vec4f(x.y), b1, fma(vec4f(x.x), b0, s15))));
  }
  let to = u32(baseOut) + row * p.outRow + column;
  let inside = column < p.columns;
  put(to + 0 * p.outRow, inside && row + 0 < p.m, s0);
  put(to + 1 * p.outRow, inside && row + 1 < p.m, s1);
  put(to + 2 * p.outRow, inside && row + 2 < p.m, s2);
  put(to + 3 * p.outRow, inside && row + 3 < p.m, s3);
  put(to + 4 * p.outRow, inside && row + 4 < p.m, s4);
  put(to + 5 * p.outRow, inside && row + 5 < p.m, s5);
  put(to + 6 * p.outRow, inside && row + 6 < p.m, s6);
  put(to + 7 * p.outRow, inside && row + 7 < p.m, s7);
  put(to + 8 * p.outRow, inside && row + 8 < p.m, s8);
  put(to + 9 * p.outRow, inside && row + 9 < p.m, s9);
  put(to + 10 * p.outRow, inside && row + 10 < p.m, s10);
  put(to + 11 * p.outRow, inside && row + 11 < p.m, s11);
  put(to + 12 * p.outRow, inside && row + 12 < p.m, s12);
  put(to + 13 * p.outRow, inside && row + 13 < p.m, s13);
  put(to + 14 * p.outRow, inside && row + 14 < p.m, s14);
  put(to + 15 * p.outRow, inside && row + 15 < p.m, s15);
}
