// out[b, i, j] = scale · Σ_k a[b, i, k] b[b, k, j] + Σ_l t[i, l] u[l, j] + bias[j] (+ out), for adapters on which reading memory is dear and a subgroup is a
// vector of the processor (lavapipe): no workgroup memory, no barrier.
// A workgroup is one subgroup of 8 and does 16 rows of 32 columns; a lane does 4 columns, in 16 registers of 4. For every 4
// terms a lane reads 2 rows of a, which are handed round by broadcast.

enable subgroups;

const LANES = 8u; // of a subgroup
override B_ALONG_K: bool = false; // b's columns lie in one piece, not its rows

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
  t: u32, // the low-rank terms, where t has some: t's rows are as many as a's, u's as long as out's
  tRow: u32,
  u: u32,
  uRow: u32,
  r: u32, // terms, a multiple of 4
  bias: u32,
  biased: u32, // 1 where there is a bias
  accumulate: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read> t: array<vec4f>;
@group(0) @binding(4) var<storage, read> u: array<vec4f>;
@group(0) @binding(5) var<storage, read> bias: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> out: array<vec4f>;

fn put(at: u32, column: u32, inside: bool, sum: vec4f) {
  if (inside) {
    var y = sum;
    if (p.biased != 0) {
      y += bias[p.bias + column];
    }
    if (p.accumulate != 0) {
      y += out[at];
    }
    out[at] = y;
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
  let low = u32(baseA) + min(row + lane, p.m - 1) * p.aRow;
  let lowT = p.t + min(row + lane, p.m - 1) * p.tRow;
  let highT = p.t + min(row + LANES + lane, p.m - 1) * p.tRow;
  let atU = p.u + min(column, p.columns - 1);
  let high = u32(baseA) + min(row + LANES + lane, p.m - 1) * p.aRow;
  var s0 = vec4f();
  var s1 = vec4f();
  var s2 = vec4f();
  var s3 = vec4f();
  var s4 = vec4f();
  var s5 = vec4f();
  var s6 = vec4f();
  var s7 = vec4f();
  var s8 = vec4f();
  var s9 = vec4f();
  var s10 = vec4f();
  var s11 = vec4f();
  var s12 = vec4f();
  var s13 = vec4f();
  var s14 = vec4f();
  var s15 = vec4f();
  let terms = (p.k + 3) / 4;
  for (var at = 0u; at < terms + p.r / 4; at++) {
    var a0: vec4f;
    var a1: vec4f;
    var b0: vec4f;
    var b1: vec4f;
    var b2: vec4f;
    var b3: vec4f;
    if (at >= terms) {
      let l = at - terms;
      a0 = t[lowT + l];
      a1 = t[highT + l];
      b0 = u[atU + 4 * l * p.uRow];
      b1 = u[atU + (4 * l + 1) * p.uRow];
      b2 = u[atU + (4 * l + 2) * p.uRow];
      b3 = u[atU + (4 * l + 3) * p.uRow];
    } else {
      a0 = p.scale * a[low + at];
      a1 = p.scale * a[high + at];
      if (B_ALONG_K) {
        let c0 = b[atB + at];
        let c1 = b[atB + p.bRow + at];
        let c2 = b[atB + 2 * p.bRow + at];
        let c3 = b[atB + 3 * p.bRow + at];
        b0 = vec4f(c0.x, c1.x, c2.x, c3.x);
        b1 = vec4f(c0.y, c1.y, c2.y, c3.y);
        b2 = vec4f(c0.z, c1.z, c2.z, c3.z);
        b3 = vec4f(c0.w, c1.w, c2.w, c3.w);
      } else {
        // a is 0 beyond its terms; there b's last row stands for those that are not there.
        let last = p.k - 1;
        b0 = b[atB + 4 * at * p.bRow];
        b1 = b[atB + min(4 * at + 1, last) * p.bRow];
        b2 = b[atB + min(4 * at + 2, last) * p.bRow];
        b3 = b[atB + min(4 * at + 3, last) * p.bRow];
      }
    }
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
  put(to + 0 * p.outRow, column, inside && row + 0 < p.m, s0);
  put(to + 1 * p.outRow, column, inside && row + 1 < p.m, s1);
  put(to + 2 * p.outRow, column, inside && row + 2 < p.m, s2);
  put(to + 3 * p.outRow, column, inside && row + 3 < p.m, s3);
  put(to + 4 * p.outRow, column, inside && row + 4 < p.m, s4);
  put(to + 5 * p.outRow, column, inside && row + 5 < p.m, s5);
  put(to + 6 * p.outRow, column, inside && row + 6 < p.m, s6);
  put(to + 7 * p.outRow, column, inside && row + 7 < p.m, s7);
  put(to + 8 * p.outRow, column, inside && row + 8 < p.m, s8);
  put(to + 9 * p.outRow, column, inside && row + 9 < p.m, s9);
  put(to + 10 * p.outRow, column, inside && row + 10 < p.m, s10);
  put(to + 11 * p.outRow, column, inside && row + 11 < p.m, s11);
  put(to + 12 * p.outRow, column, inside && row + 12 < p.m, s12);
  put(to + 13 * p.outRow, column, inside && row + 13 < p.m, s13);
  put(to + 14 * p.outRow, column, inside && row + 14 < p.m, s14);
  put(to + 15 * p.outRow, column, inside && row + 15 < p.m, s15);
}
