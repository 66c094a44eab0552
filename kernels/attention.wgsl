// y[b, h, i] = Σ_j w_j v[b, h', j], w = softmax_j(scale · q[b, h, i] · k[b, h', j]), h' = h / group: q [B, H, Tq, D], k
// [B, Hkv, Tk, D], v [B, Hkv, Tk, Dv], y [B, H, Tq, Dv]; D and Dv are multiples of 4, 128 at most.
// A workgroup does ROWS queries and goes over the keys, 32 at a time. Its threads are ROWS / 2 by 8: each has two queries,
// every eighth key of the scores and every eighth vector of the sums. The softmax is online, so that no weights are kept.
// https://arxiv.org/abs/2205.14135

override ROWS: u32 = 16;
override COLUMNS: u32 = 2; // vectors that a thread has of a sum: D and Dv are 32 · COLUMNS at most
const KEYS = 32u; // of a tile
override TILE: u32 = 8 * COLUMNS + 1; // vectors from row to row: one more than there are, for the banks of the memory

struct Params {
  q: vec4i, // strides of batch, head, time, and where it begins, in vectors of four
  k: vec4i,
  v: vec4i,
  y: vec4i,
  mask: vec4i, // strides of batch, head, query, key
  maskAt: i32,
  heads: u32, // H
  group: u32, // H / Hkv
  queries: u32, // Tq
  keys: u32, // Tk
  blocks: u32, // of ROWS queries
  count: u32, // workgroups: B · H · blocks
  causal: u32,
  masked: u32,
  depth: u32, // D / 4
  width: u32, // Dv / 4
  scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@group(0) @binding(3) var<storage, read> v: array<vec4f>;
@group(0) @binding(4) var<storage, read> mask: array<i32>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4f>;

var<workgroup> queries: array<vec4f, ROWS * 8 * COLUMNS>;
var<workgroup> tile: array<vec4f, KEYS * TILE>; // keys, then their values
// Of each pair of queries:
var<workgroup> weights: array<vec2f, ROWS / 2 * KEYS>;
var<workgroup> parts: array<vec2f, ROWS / 2 * 8>; // what its eight threads have still to join

const HIDDEN = -1e30f; // as the op has it: a query that sees no key weighs all alike
const OUTSIDE = -3e38f; // of a key that there is not: weighs nothing even then

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
  let head = i32(index / p.blocks % p.heads);
  let batch = i32(index / p.blocks / p.heads);
  let kvHead = head / i32(p.group);
  let behind = p.keys - p.queries; // the last query sees the last key
  let thread = local.y * 8 + local.x;
  let qAt = p.q.w + batch * p.q.x + head * p.q.y;
  let kAt = p.k.w + batch * p.k.x + kvHead * p.k.y;
  let vAt = p.v.w + batch * p.v.x + kvHead * p.v.y;
  let maskAt = p.maskAt + batch * p.mask.x + head * p.mask.y;
  let rows = vec2u(2 * local.y, 2 * local.y + 1); // of the block
  let ours = min(first + rows, vec2u(p.queries - 1)); // rows behind the last do its work again
  for (var e = thread; e < ROWS * p.depth; e += ROWS * 4) {
    let row = min(first + e / p.depth, p.queries - 1);
    queries[e] = q[qAt + i32(row) * p.q.z + i32(e % p.depth)] * p.scale;
  }
  var sum0: array<vec4f, 4>;
  var sum1: array<vec4f, 4>;
  var top = vec2f(OUTSIDE);
  var total = vec2f(0); // of this thread's keys

  // A query that sees no key at all needs all of them, and only a mask can bring that about.
  var end = p.keys;
  if (p.causal != 0 && p.masked == 0) {
    end = min(p.keys, behind + first + ROWS);
  }
  for (var start = 0u; start < end; start += KEYS) {
    for (var e = thread; e < KEYS * p.depth; e += ROWS * 4) {
      let key = min(start + e / p.depth, p.keys - 1);
      tile[e / p.depth * TILE + e % p.depth] = k[kAt + i32(key) * p.k.z + i32(e % p.depth)];
    }
    workgroupBarrier();
    var s0 = vec4f(0);
    var s1 = vec4f(0);
    for (var c = 0u; c < p.depth; c++) {
      let a = queries[rows.x * p.depth + c];
      let b = queries[rows.y * p.depth + c];
      let at = local.x * TILE + c;
      let x = tile[at];
      let y = tile[at + 8 * TILE];
      let z = tile[at + 16 * TILE];
      let w = tile[at + 24 * TILE];
      s0 += vec4f(dot(a, x), dot(a, y), dot(a, z), dot(a, w));
      s1 += vec4f(dot(b, x), dot(b, y), dot(b, z), dot(b, w));
    }
    let keys = start + local.x + vec4u(0, 8, 16, 24);
    s0 = hide(s0, keys, ours.x, behind, maskAt);
    s1 = hide(s1, keys, ours.y, behind, maskAt);
    let most = max(max(vec2f(s0.x, s1.x), vec2f(s0.y, s1.y)), max(vec2f(s0.z, s1.z), vec2f(s0.w, s1.w)));
    parts[local.y * 8 + local.x] = most;
    workgroupBarrier();
    for (var e = thread; e < KEYS * p.width; e += ROWS * 4) {
      let key = min(start + e / p.width, p.keys - 1);
      tile[e / p.width * TILE + e % p.width] = v[vAt + i32(key) * p.v.z + i32(e % p.width)];
    }
    var next = top;
    for (var t = 0u; t < 8; t++) {
      next = max(next, parts[local.y * 8 + t]);
    }
    let shrink = exp(top - next);
    top = next;
    s0 = exp(s0 - next.x);
    s1 = exp(s1 - next.y);
    total = total * shrink + vec2f(dot(s0, vec4f(1)), dot(s1, vec4f(1)));
    for (var t = 0u; t < 4; t++) {
      weights[local.y * KEYS + local.x + 8 * t] = vec2f(s0[t], s1[t]);
    }
    workgroupBarrier();
    for (var n = 0u; n < COLUMNS; n++) {
      sum0[n] *= shrink.x;
      sum1[n] *= shrink.y;
    }
    for (var t = 0u; t < min(KEYS, end - start); t++) {
      let w = weights[local.y * KEYS + t];
      for (var n = 0u; n < COLUMNS; n++) {
        let value = tile[t * TILE + min(local.x + 8 * n, p.width - 1)];
        sum0[n] += w.x * value;
        sum1[n] += w.y * value;
      }
    }
    workgroupBarrier();
  }
  parts[local.y * 8 + local.x] = total;
  workgroupBarrier();
  total = vec2f(0);
  for (var t = 0u; t < 8; t++) {
    total += parts[local.y * 8 + t];
  }
  let yAt = p.y.w + batch * p.y.x + head * p.y.y + i32(first + rows.x) * p.y.z;
  for (var n = 0u; n < COLUMNS; n++) {
    let c = local.x + 8 * n;
    if (c < p.width && first + rows.x < p.queries) {
      y[yAt + i32(c)] = sum0[n] / total.x;
    }
    if (c < p.width && first + rows.y < p.queries) {
      y[yAt + p.y.z + i32(c)] = sum1[n] / total.y;
    }
  }
}

fn hide(scores: vec4f, keys: vec4u, query: u32, behind: u32, maskAt: i32) -> vec4f {
  var s = scores;
  if (p.causal != 0) {
    s = select(s, vec4f(HIDDEN), keys > vec4u(query + behind));
  }
  if (p.masked != 0) {
    let m = vec4i(min(keys, vec4u(p.keys - 1))) * p.mask.w + (maskAt + i32(query) * p.mask.z);
    s = select(s, vec4f(HIDDEN), vec4i(mask[m.x], mask[m.y], mask[m.z], mask[m.w]) == vec4i(0));
  }
  return select(s, vec4f(OUTSIDE), keys >= vec4u(p.keys));
}
