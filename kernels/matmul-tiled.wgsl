// out[b, i, j] = scale · Σ_k a[b, i, k] b[b, k, j] + Σ_l t[i, l] u[l, j] + bias[j] (+ out), for GPUs: any strides; b may be held in f16 or bf16, sums are f32.
// A workgroup of 64 threads does 64 × 64 elements of out. For every 16 terms it brings both factors into workgroup memory,
// each element once, neighbouring threads reading neighbours; a thread then does 8 × 8 elements in registers.

override B_STORAGE: u32 = 0; // 0 f32, 1 f16, 2 bf16

const TILE = 64u;
const DEPTH = 16u;

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
  aAlongK: u32, // 1 where a's neighbours in memory differ in k, 0 where in i
  bAlongK: u32,
  t: i32, // the low-rank terms, where t has some: t's rows are as many as a's, u's as long as out's
  tRow: i32,
  tColumn: i32,
  u: i32,
  uRow: i32,
  uColumn: i32,
  r: u32, // terms
  bias: i32,
  biasColumn: i32,
  biased: u32, // 1 where there is a bias
  accumulate: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<u32>;
@group(0) @binding(3) var<storage, read> t: array<f32>;
@group(0) @binding(4) var<storage, read> u: array<f32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

// First DEPTH rows of 64 elements of a's columns, then as many of b's rows; in the end the 64 rows of the result.
var<workgroup> tile: array<vec4f, TILE * TILE / 4>;
const B = DEPTH * TILE / 4;

fn loadB(at: i32) -> f32 {
  if (B_STORAGE == 1) {
    return unpack2x16float(b[at >> 1])[at & 1];
  }
  if (B_STORAGE == 2) {
    return bitcast<f32>((b[at >> 1] >> (u32(at & 1) * 16)) << 16);
  }
  return bitcast<f32>(b[at]);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  var rest = group.z;
  var baseA = p.a;
  var baseB = p.b;
  var baseOut = p.out;
  for (var axis = 0; axis < 4; axis++) {
    let index = i32(rest % p.batch[axis]);
    rest /= p.batch[axis];
    baseA += index * p.aBatch[axis];
    baseB += index * p.bBatch[axis];
    baseOut += index * p.outBatch[axis];
  }
  let row = group.y * TILE;
  let column = group.x * TILE;
  let y = local / 8 * 2; // in vectors of 4: this thread's rows and columns of the tile
  let x = local % 8 * 2;
  var low: array<vec4f, 8>; // 8 rows of the left 4 columns
  var high: array<vec4f, 8>;
  // The low-rank terms come last, as if a and b were longer: what W gives is summed first.
  let blocks = (p.k + DEPTH - 1) / DEPTH;
  for (var block = 0u; block < blocks + (p.r + DEPTH - 1) / DEPTH; block++) {
    let full = block < blocks;
    let k0 = select(block - blocks, block, full) * DEPTH;
    let terms = select(p.r, p.k, full);
    workgroupBarrier();
    for (var e = local; e < DEPTH * TILE / 4; e += 64) {
      // Which vector of the tile this thread fills; which way it walks depends on what lies side by side in memory.
      var va = vec4f(0);
      let ka = select(e / 16, e % DEPTH, p.aAlongK != 0);
      let ia = select(e % 16, e / DEPTH, p.aAlongK != 0);
      var vb = vec4f(0);
      let kb = select(e / 16, e % DEPTH, p.bAlongK != 0);
      let jb = select(e % 16, e / DEPTH, p.bAlongK != 0);
      for (var c = 0u; c < 4; c++) {
        let i = row + 4 * ia + c;
        if (i < p.m && k0 + ka < terms) {
          if (full) {
            va[c] = p.scale * a[baseA + i32(i) * p.aRow + i32(k0 + ka) * p.aColumn];
          } else {
            va[c] = t[p.t + i32(i) * p.tRow + i32(k0 + ka) * p.tColumn];
          }
        }
        let j = column + 4 * jb + c;
        if (j < p.n && k0 + kb < terms) {
          if (full) {
            vb[c] = loadB(baseB + i32(k0 + kb) * p.bRow + i32(j) * p.bColumn);
          } else {
            vb[c] = u[p.u + i32(k0 + kb) * p.uRow + i32(j) * p.uColumn];
          }
        }
      }
      tile[ka * 16 + ia] = va;
      tile[B + kb * 16 + jb] = vb;
    }
    workgroupBarrier();
    for (var k = 0u; k < DEPTH; k++) {
      let left = tile[B + k * 16 + x];
      let right = tile[B + k * 16 + x + 1];
      let upper = tile[k * 16 + y];
      let lower = tile[k * 16 + y + 1];
      for (var i = 0u; i < 4; i++) {
        low[i] = fma(vec4f(upper[i]), left, low[i]);
        high[i] = fma(vec4f(upper[i]), right, high[i]);
        low[i + 4] = fma(vec4f(lower[i]), left, low[i + 4]);
        high[i + 4] = fma(vec4f(lower[i]), right, high[i + 4]);
      }
    }
  }
  // By way of workgroup memory, so that neighbouring threads write neighbours.
  workgroupBarrier();
  for (var i = 0u; i < 8; i++) {
    tile[(4 * y + i) * 16 + x] = low[i];
    tile[(4 * y + i) * 16 + x + 1] = high[i];
  }
  workgroupBarrier();
  for (var e = local; e < TILE * TILE; e += 64) {
    let i = row + e / TILE;
    let j = column + e % TILE;
    if (i < p.m && j < p.n) {
      let to = baseOut + i32(i) * p.outRow + i32(j) * p.outColumn;
      var sum = tile[e / 4][e % 4];
      if (p.biased != 0) {
        sum += bias[p.bias + i32(j) * p.biasColumn];
      }
      if (p.accumulate != 0) {
        sum += out[to];
      }
      out[to] = sum;
    }
  }
}
