// out[b, i, j] = scale · Σ_k a[b, i, k] b[b, k, j] + bias[j] (+ out): products with few rows (generation), and all of them where an
// adapter has neither fast workgroup memory nor subgroups.
// A thread does 4 rows of 4 columns in registers. With SLICES > 1 a workgroup's threads share the terms of the same columns
// between them and add up their sums in workgroup memory: so a matrix times a vector has work for a whole GPU.

override SLICES: u32 = 1; // into which the terms are cut: 1, or at least 4
override COLUMNS: u32 = 64; // threads side by side; SLICES · COLUMNS make a workgroup
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
  biased: u32, // 1 where there is a bias
  accumulate: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4u>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;

var<workgroup> sums: array<vec4f, 4 * SLICES * COLUMNS>;

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
fn put(at: u32, column: u32, sum: vec4f) {
  var y = p.scale * sum;
  if (p.biased != 0) {
    y += bias[p.bias + column];
  }
  if (p.accumulate != 0) {
    y += out[at];
  }
  out[at] = y;
}

@compute @workgroup_size(SLICES * COLUMNS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
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
  let row = group.y * 4;
  let slice = local / COLUMNS;
  let column = group.x * COLUMNS + local % COLUMNS;
  // Beyond the edges the last row and column are done again, and not stored.
  let atB = u32(baseB) + min(column, p.columns - 1) * select(1u, 4 * p.bRow, B_ALONG_K);
  let last = p.m - 1;
  let atA = vec4u(u32(baseA)) + min(vec4u(row, row + 1, row + 2, row + 3), vec4u(last)) * p.aRow;
  var s = mat4x4f();
  for (var k = 4 * slice; k < p.k; k += 4 * SLICES) {
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
      let end = p.k - 1;
      b0 = fourOf(atB + k * p.bRow);
      b1 = fourOf(atB + min(k + 1, end) * p.bRow);
      b2 = fourOf(atB + min(k + 2, end) * p.bRow);
      b3 = fourOf(atB + min(k + 3, end) * p.bRow);
    }
    let a0 = a[atA.x + at];
    s[0] = fma(vec4f(a0.w), b3, fma(vec4f(a0.z), b2, fma(vec4f(a0.y), b1, fma(vec4f(a0.x), b0, s[0]))));
    if (last > 0) {
      let a1 = a[atA.y + at];
      let a2 = a[atA.z + at];
      let a3 = a[atA.w + at];
      s[1] = fma(vec4f(a1.w), b3, fma(vec4f(a1.z), b2, fma(vec4f(a1.y), b1, fma(vec4f(a1.x), b0, s[1]))));
      s[2] = fma(vec4f(a2.w), b3, fma(vec4f(a2.z), b2, fma(vec4f(a2.y), b1, fma(vec4f(a2.x), b0, s[2]))));
      s[3] = fma(vec4f(a3.w), b3, fma(vec4f(a3.z), b2, fma(vec4f(a3.y), b1, fma(vec4f(a3.x), b0, s[3]))));
    }
  }
  let to = u32(baseOut) + row * p.outRow + column;
  if (SLICES == 1) {
    for (var r = 0u; r < 4; r++) {
      if (row + r < p.m && column < p.columns) {
        put(to + r * p.outRow, column, s[r]);
      }
    }
    return;
  }
  for (var r = 0u; r < 4; r++) {
    sums[4 * local + r] = s[r];
  }
  workgroupBarrier();
  // The first four slices add up a row each.
  if (slice < 4 && row + slice < p.m && column < p.columns) {
    var sum = vec4f(0);
    for (var other = 0u; other < SLICES; other++) {
      sum += sums[4 * (other * COLUMNS + local % COLUMNS) + slice];
    }
    put(to + slice * p.outRow, column, sum);
  }
}
