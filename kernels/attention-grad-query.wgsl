// ∂q of attention (kernels/attention.wgsl) and what ∂k and ∂v need of each query: with w the weights and dw_j = g · v[j],
// mean = Σ_j w_j dw_j and ∂q[i] = Σ_j scale · w_j (dw_j − mean) k[j]; row[b, h, i] = (largest score, 1 / Σ e^(score − largest),
// mean, 0). g [B, H, Tq, Dv], ∂q [B, H, Tq, D].
// It takes two dispatches: one with STATS leaves row, one without leaves ∂q. A workgroup does ROWS queries, split as in the
// forward pass, and computes their scores anew.

override STATS: bool = false;
override ROWS: u32 = 16;
override COLUMNS: u32 = 2; // vectors that a thread has of a sum: D and Dv are 32 · COLUMNS at most
const KEYS = 32u; // of a tile
override TILE: u32 = 8 * COLUMNS + 1; // vectors from row to row: one more than there are, for the banks of the memory

struct Params {
  g: vec4i, // strides of batch, head, time, and where it begins, in vectors of four
  q: vec4i,
  k: vec4i,
  v: vec4i,
  dq: vec4i,
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
@group(0) @binding(1) var<storage, read> g: array<vec4f>;
@group(0) @binding(2) var<storage, read> q: array<vec4f>;
@group(0) @binding(3) var<storage, read> k: array<vec4f>;
@group(0) @binding(4) var<storage, read> v: array<vec4f>;
@group(0) @binding(5) var<storage, read> mask: array<i32>;
@group(0) @binding(6) var<storage, read_write> dq: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> row: array<vec4f>;

var<workgroup> queries: array<vec4f, ROWS * 8 * COLUMNS>;
var<workgroup> incoming: array<vec4f, ROWS * 8 * COLUMNS>;
var<workgroup> tile: array<vec4f, KEYS * TILE>;
var<workgroup> weights: array<vec2f, ROWS / 2 * KEYS>; // of pairs of queries
var<workgroup> parts: array<vec4f, ROWS * 8>; // what is still to be joined of each row

const HIDDEN = -1e30f;
const OUTSIDE = -3e38f;

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
  let behind = p.keys - p.queries;
  let thread = local.y * 8 + local.x;
  let gAt = p.g.w + batch * p.g.x + head * p.g.y;
  let qAt = p.q.w + batch * p.q.x + head * p.q.y;
  let kAt = p.k.w + batch * p.k.x + kvHead * p.k.y;
  let vAt = p.v.w + batch * p.v.x + kvHead * p.v.y;
  let maskAt = p.maskAt + batch * p.mask.x + head * p.mask.y;
  let rowAt = (u32(batch) * p.heads + u32(head)) * p.queries;
  let rows = vec2u(2 * local.y, 2 * local.y + 1);
  let ours = min(first + rows, vec2u(p.queries - 1));
  for (var e = thread; e < ROWS * p.depth; e += ROWS * 4) {
    let query = min(first + e / p.depth, p.queries - 1);
    queries[e] = q[qAt + i32(query) * p.q.z + i32(e % p.depth)] * p.scale;
  }
  for (var e = thread; e < ROWS * p.width; e += ROWS * 4) {
    let query = min(first + e / p.width, p.queries - 1);
    incoming[e] = g[gAt + i32(query) * p.g.z + i32(e % p.width)];
  }
  var end = p.keys;
  if (p.causal != 0 && p.masked == 0) {
    end = min(p.keys, behind + first + ROWS);
  }

  // Of this thread's keys the largest score, the sum of the powers, and of them times dw; then what they make of the row.
  var top = vec2f(OUTSIDE);
  var total = vec2f(0);
  var mean = vec2f(0);
  if (!STATS) {
    let a = row[rowAt + ours.x];
    let b = row[rowAt + ours.y];
    top = vec2f(a.x, b.x);
    total = vec2f(a.y, b.y);
    mean = vec2f(a.z, b.z);
  }
  var sum0: array<vec4f, 4>;
  var sum1: array<vec4f, 4>;
  for (var start = 0u; start < end; start += KEYS) {
    loadKeys(thread, kAt, start);
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
    let hidden0 = hides(keys, ours.x, behind, maskAt);
    let hidden1 = hides(keys, ours.y, behind, maskAt);
    let outside = keys >= vec4u(p.keys);
    s0 = select(select(s0, vec4f(HIDDEN), hidden0), vec4f(OUTSIDE), outside);
    s1 = select(select(s1, vec4f(HIDDEN), hidden1), vec4f(OUTSIDE), outside);
    workgroupBarrier();
    for (var e = thread; e < KEYS * p.width; e += ROWS * 4) {
      let key = min(start + e / p.width, p.keys - 1);
      tile[e / p.width * TILE + e % p.width] = v[vAt + i32(key) * p.v.z + i32(e % p.width)];
    }
    workgroupBarrier();
    var d0 = vec4f(0);
    var d1 = vec4f(0);
    for (var c = 0u; c < p.width; c++) {
      let a = incoming[rows.x * p.width + c];
      let b = incoming[rows.y * p.width + c];
      let at = local.x * TILE + c;
      let x = tile[at];
      let y = tile[at + 8 * TILE];
      let z = tile[at + 16 * TILE];
      let w = tile[at + 24 * TILE];
      d0 += vec4f(dot(a, x), dot(a, y), dot(a, z), dot(a, w));
      d1 += vec4f(dot(b, x), dot(b, y), dot(b, z), dot(b, w));
    }
    workgroupBarrier();
    if (STATS) {
      let next = max(top, vec2f(max(max(s0.x, s0.y), max(s0.z, s0.w)), max(max(s1.x, s1.y), max(s1.z, s1.w))));
      let shrink = exp(top - next);
      s0 = exp(s0 - next.x);
      s1 = exp(s1 - next.y);
      top = next;
      total = total * shrink + vec2f(dot(s0, vec4f(1)), dot(s1, vec4f(1)));
      mean = mean * shrink + vec2f(dot(s0, d0), dot(s1, d1));
    } else {
      // A hidden key has no gradient, whatever it weighs.
      s0 = select(exp(s0 - top.x) * total.x * (d0 - mean.x) * p.scale, vec4f(0), hidden0);
      s1 = select(exp(s1 - top.y) * total.y * (d1 - mean.y) * p.scale, vec4f(0), hidden1);
      for (var t = 0u; t < 4; t++) {
        weights[local.y * KEYS + local.x + 8 * t] = vec2f(s0[t], s1[t]);
      }
      loadKeys(thread, kAt, start);
      workgroupBarrier();
      for (var t = 0u; t < min(KEYS, end - start); t++) {
        let w = weights[local.y * KEYS + t];
        for (var n = 0u; n < COLUMNS; n++) {
          let value = tile[t * TILE + min(local.x + 8 * n, p.depth - 1)];
          sum0[n] += w.x * value;
          sum1[n] += w.y * value;
        }
      }
      workgroupBarrier();
    }
  }
  if (STATS) {
    parts[rows.x * 8 + local.x] = vec4f(top.x, total.x, mean.x, 0);
    parts[rows.y * 8 + local.x] = vec4f(top.y, total.y, mean.y, 0);
    workgroupBarrier();
    if (local.x < 2 && first + rows[local.x] < p.queries) {
      row[rowAt + first + rows[local.x]] = joined(rows[local.x]);
    }
    return;
  }
  let at = p.dq.w + batch * p.dq.x + head * p.dq.y + i32(first + rows.x) * p.dq.z;
  for (var n = 0u; n < COLUMNS; n++) {
    let c = local.x + 8 * n;
    if (c < p.depth && first + rows.x < p.queries) {
      dq[at + i32(c)] = sum0[n];
    }
    if (c < p.depth && first + rows.y < p.queries) {
      dq[at + p.dq.z + i32(c)] = sum1[n];
    }
  }
}

fn loadKeys(thread: u32, kAt: i32, start: u32) {
  for (var e = thread; e < KEYS * p.depth; e += ROWS * 4) {
    let key = min(start + e / p.depth, p.keys - 1);
    tile[e / p.depth * TILE + e % p.depth] = k[kAt + i32(key) * p.k.z + i32(e % p.depth)];
  }
}

fn hides(keys: vec4u, query: u32, behind: u32, maskAt: i32) -> vec4<bool> {
  var hidden = vec4<bool>(false);
  if (p.causal != 0) {
    hidden = keys > vec4u(query + behind);
  }
  if (p.masked != 0) {
    let m = vec4i(min(keys, vec4u(p.keys - 1))) * p.mask.w + (maskAt + i32(query) * p.mask.z);
    hidden |= vec4i(mask[m.x], mask[m.y], mask[m.z], mask[m.w]) == vec4i(0);
  }
  return hidden;
}

// Largest score, 1 / sum and mean of a row, from the parts of its eight threads.
fn joined(r: u32) -> vec4f {
  var all = parts[r * 8];
  for (var t = 1u; t < 8; t++) {
    let part = parts[r * 8 + t];
    let top = max(all.x, part.x);
    let sums = all.yz * exp(all.x - top) + part.yz * exp(part.x - top);
    all = vec4f(top, sums, 0);
  }
  return vec4f(all.x, 1 / all.y, all.z / all.y, 0);
}
