// ∂k and ∂v of attention (kernels/attention.wgsl): with w the weights, dw = g · v and row as kernels/attention-grad-query.wgsl
// leaves it, ∂v[b, h', j] = Σ w_j g[b, h, i] and ∂k[b, h', j] = Σ scale · w_j (dw_j − mean) q[b, h, i], over the queries i of
// all heads h of the group, in order. ∂k [B, Hkv, Tk, D], ∂v [B, Hkv, Tk, Dv].
// A workgroup does ROWS keys and goes over the queries, 32 at a time. Its threads are ROWS / 2 by 8: each has two keys, every
// eighth query of the weights and every eighth vector of the sums.

override ROWS: u32 = 16;
override COLUMNS: u32 = 2; // vectors that a thread has of a sum: D and Dv are 32 · COLUMNS at most
const QUERIES = 32u; // of a tile
override TILE: u32 = 8 * COLUMNS + 1; // vectors from row to row: one more than there are, for the banks of the memory

struct Params {
  g: vec4i, // strides of batch, head, time, and where it begins, in vectors of four
  q: vec4i,
  k: vec4i,
  v: vec4i,
  dk: vec4i,
  dv: vec4i,
  mask: vec4i, // strides of batch, head, query, key
  maskAt: i32,
  kvHeads: u32, // Hkv
  group: u32, // H / Hkv
  queries: u32, // Tq
  keys: u32, // Tk
  blocks: u32, // of ROWS keys
  count: u32, // workgroups: B · Hkv · blocks
  causal: u32,
  masked: u32,
  depth: u32, // D / 4
  width: u32, // Dv / 4
  scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> g: array<vec4f>;
@group(0) @binding(2) var<storage, read> q: array<vec4f>;
@group(0) @binding(3) var<storage, read> k: array<vec4f>;
@group(0) @binding(4) var<storage, read> v: array<vec4f>;
@group(0) @binding(5) var<storage, read> row: array<vec4f>;
@group(0) @binding(6) var<storage, read> mask: array<i32>;
@group(0) @binding(7) var<storage, read_write> dk: array<vec4f>;
@group(0) @binding(8) var<storage, read_write> dv: array<vec4f>;

var<workgroup> keys: array<vec4f, ROWS * 8 * COLUMNS>;
var<workgroup> values: array<vec4f, ROWS * 8 * COLUMNS>;
var<workgroup> tile: array<vec4f, QUERIES * TILE>;
var<workgroup> weights: array<vec4f, ROWS / 2 * QUERIES>; // of pairs of keys: w, then the scores' gradients

@compute @workgroup_size(8, ROWS / 2)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let index = group.y * groups.x + group.x;
  if (index >= p.count) {
    return;
  }
  let first = index % p.blocks * ROWS;
  let kvHead = i32(index / p.blocks % p.kvHeads);
  let batch = i32(index / p.blocks / p.kvHeads);
  let behind = p.keys - p.queries;
  let thread = local.y * 8 + local.x;
  let kAt = p.k.w + batch * p.k.x + kvHead * p.k.y;
  let vAt = p.v.w + batch * p.v.x + kvHead * p.v.y;
  let rows = vec2u(2 * local.y, 2 * local.y + 1);
  let ours = min(first + rows, vec2u(p.keys - 1));
  for (var e = thread; e < ROWS * p.depth; e += ROWS * 4) {
    let key = min(first + e / p.depth, p.keys - 1);
    keys[e] = k[kAt + i32(key) * p.k.z + i32(e % p.depth)] * p.scale;
  }
  for (var e = thread; e < ROWS * p.width; e += ROWS * 4) {
    let key = min(first + e / p.width, p.keys - 1);
    values[e] = v[vAt + i32(key) * p.v.z + i32(e % p.width)];
  }
  // The first query that sees the first key; but a query whose mask hides all that it would see weighs all keys alike.
  var begin = 0u;
  if (p.causal != 0 && p.masked == 0 && first > behind) {
    begin = first - behind;
  }
  var dk0: array<vec4f, 4>;
  var dk1: array<vec4f, 4>;
  var dv0: array<vec4f, 4>;
  var dv1: array<vec4f, 4>;
  for (var member = 0u; member < p.group; member++) {
    let head = kvHead * i32(p.group) + i32(member);
    let gAt = p.g.w + batch * p.g.x + head * p.g.y;
    let qAt = p.q.w + batch * p.q.x + head * p.q.y;
    let maskAt = p.maskAt + batch * p.mask.x + head * p.mask.y;
    let rowAt = (u32(batch) * p.kvHeads * p.group + u32(head)) * p.queries;
    for (var start = begin; start < p.queries; start += QUERIES) {
      loadQueries(thread, qAt, start);
      workgroupBarrier();
      var s0 = vec4f(0);
      var s1 = vec4f(0);
      for (var c = 0u; c < p.depth; c++) {
        let a = keys[rows.x * p.depth + c];
        let b = keys[rows.y * p.depth + c];
        let at = local.x * TILE + c;
        let x = tile[at];
        let y = tile[at + 8 * TILE];
        let z = tile[at + 16 * TILE];
        let w = tile[at + 24 * TILE];
        s0 += vec4f(dot(a, x), dot(a, y), dot(a, z), dot(a, w));
        s1 += vec4f(dot(b, x), dot(b, y), dot(b, z), dot(b, w));
      }
      workgroupBarrier();
      for (var e = thread; e < QUERIES * p.width; e += ROWS * 4) {
        let query = min(start + e / p.width, p.queries - 1);
        tile[e / p.width * TILE + e % p.width] = g[gAt + i32(query) * p.g.z + i32(e % p.width)];
      }
      workgroupBarrier();
      var d0 = vec4f(0);
      var d1 = vec4f(0);
      for (var c = 0u; c < p.width; c++) {
        let a = values[rows.x * p.width + c];
        let b = values[rows.y * p.width + c];
        let at = local.x * TILE + c;
        let x = tile[at];
        let y = tile[at + 8 * TILE];
        let z = tile[at + 16 * TILE];
        let w = tile[at + 24 * TILE];
        d0 += vec4f(dot(a, x), dot(a, y), dot(a, z), dot(a, w));
        d1 += vec4f(dot(b, x), dot(b, y), dot(b, z), dot(b, w));
      }
      for (var t = 0u; t < 4; t++) {
        let query = start + local.x + 8 * t;
        let stats = row[rowAt + min(query, p.queries - 1)];
        let a = weigh(s0[t], d0[t], stats, query, ours.x, behind, maskAt);
        let b = weigh(s1[t], d1[t], stats, query, ours.y, behind, maskAt);
        weights[local.y * QUERIES + local.x + 8 * t] = vec4f(a.x, b.x, a.y, b.y);
      }
      workgroupBarrier();
      for (var t = 0u; t < min(QUERIES, p.queries - start); t++) {
        let w = weights[local.y * QUERIES + t].xy;
        for (var n = 0u; n < COLUMNS; n++) {
          let value = tile[t * TILE + min(local.x + 8 * n, p.width - 1)];
          dv0[n] += w.x * value;
          dv1[n] += w.y * value;
        }
      }
      workgroupBarrier();
      loadQueries(thread, qAt, start);
      workgroupBarrier();
      for (var t = 0u; t < min(QUERIES, p.queries - start); t++) {
        let w = weights[local.y * QUERIES + t].zw;
        for (var n = 0u; n < COLUMNS; n++) {
          let value = tile[t * TILE + min(local.x + 8 * n, p.depth - 1)];
          dk0[n] += w.x * value;
          dk1[n] += w.y * value;
        }
      }
      workgroupBarrier();
    }
  }
  let kTo = p.dk.w + batch * p.dk.x + kvHead * p.dk.y + i32(first + rows.x) * p.dk.z;
  let vTo = p.dv.w + batch * p.dv.x + kvHead * p.dv.y + i32(first + rows.x) * p.dv.z;
  for (var n = 0u; n < COLUMNS; n++) {
    let c = local.x + 8 * n;
    if (first + rows.x < p.keys) {
      if (c < p.depth) {
        dk[kTo + i32(c)] = dk0[n];
      }
      if (c < p.width) {
        dv[vTo + i32(c)] = dv0[n];
      }
    }
    if (first + rows.y < p.keys) {
      if (c < p.depth) {
        dk[kTo + p.dk.z + i32(c)] = dk1[n];
      }
      if (c < p.width) {
        dv[vTo + p.dv.z + i32(c)] = dv1[n];
      }
    }
  }
}

fn loadQueries(thread: u32, qAt: i32, start: u32) {
  for (var e = thread; e < QUERIES * p.depth; e += ROWS * 4) {
    let query = min(start + e / p.depth, p.queries - 1);
    tile[e / p.depth * TILE + e % p.depth] = q[qAt + i32(query) * p.q.z + i32(e % p.depth)];
  }
}

// The weight and the score's gradient. A hidden key has none, whatever it weighs.
fn weigh(score: f32, dw: f32, stats: vec4f, query: u32, key: u32, behind: u32, maskAt: i32) -> vec2f {
  var hidden = p.causal != 0 && key > query + behind;
  if (p.masked != 0) {
    hidden = hidden || mask[maskAt + i32(min(query, p.queries - 1)) * p.mask.z + i32(key) * p.mask.w] == 0;
  }
  let w = exp(select(score, -1e30f, hidden) - stats.x) * stats.y;
  let d = select(w * (dw - stats.z) * p.scale, 0, hidden);
  return select(vec2f(w, d), vec2f(0), query >= p.queries);
}
