// Attention (kernels/attention.wgsl) of few queries, as when a text is continued: y[b, h, i] = Σ_j w_j v[b, h', j].
// A workgroup does one query and goes over the keys, SIZE at a time: a thread has one key of the scores, then one vector of
// the sums over some of the keys.

override SIZE: u32 = 128; // a multiple of 16, and p.width at least

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
  count: u32, // workgroups: B · H · Tq
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

var<workgroup> scores: array<f32, SIZE>; // then weights
var<workgroup> tops: array<f32, 16>;
var<workgroup> sums: array<vec4f, SIZE>;

const HIDDEN = -1e30f;
const OUTSIDE = -3e38f;

@compute @workgroup_size(SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let index = group.y * groups.x + group.x;
  if (index >= p.count) {
    return;
  }
  let query = index % p.queries;
  let head = i32(index / p.queries % p.heads);
  let batch = i32(index / p.queries / p.heads);
  let kvHead = head / i32(p.group);
  let last = query + p.keys - p.queries; // key that it sees, if causal
  let qAt = p.q.w + batch * p.q.x + head * p.q.y + i32(query) * p.q.z;
  let kAt = p.k.w + batch * p.k.x + kvHead * p.k.y;
  let vAt = p.v.w + batch * p.v.x + kvHead * p.v.y;
  let maskAt = p.maskAt + batch * p.mask.x + head * p.mask.y + i32(query) * p.mask.z;
  let parts = SIZE / p.width;
  let part = thread / p.width;
  let column = i32(thread % p.width);
  var top = OUTSIDE;
  var total = 0.0; // of this thread's keys
  var sum = vec4f(0); // of this thread's part
  var end = p.keys;
  if (p.causal != 0 && p.masked == 0) {
    end = last + 1;
  }
  for (var start = 0u; start < end; start += SIZE) {
    let key = start + thread;
    var s = OUTSIDE;
    if (key < end) {
      let at = kAt + i32(key) * p.k.z;
      var products = vec4f(0);
      for (var c = 0; c < i32(p.depth); c++) {
        products += q[qAt + c] * k[at + c];
      }
      s = dot(products, vec4f(1)) * p.scale;
      if (p.causal != 0 && key > last) {
        s = HIDDEN;
      }
      if (p.masked != 0) {
        s = select(s, HIDDEN, mask[maskAt + i32(key) * p.mask.w] == 0);
      }
    }
    scores[thread] = s;
    workgroupBarrier();
    if (thread < 16) {
      var most = scores[thread];
      for (var t = thread + 16; t < SIZE; t += 16) {
        most = max(most, scores[t]);
      }
      tops[thread] = most;
    }
    workgroupBarrier();
    var next = top;
    for (var t = 0; t < 16; t++) {
      next = max(next, tops[t]);
    }
    let shrink = exp(top - next);
    let w = exp(s - next);
    top = next;
    total = total * shrink + w;
    scores[thread] = w;
    workgroupBarrier();
    if (part < parts) {
      sum *= shrink;
      let stop = min(SIZE, end - start);
      for (var t = part; t < stop; t += parts) {
        sum += scores[t] * v[vAt + i32(start + t) * p.v.z + column];
      }
    }
    workgroupBarrier();
  }
  sums[thread] = sum;
  scores[thread] = total;
  workgroupBarrier();
  if (thread < p.width) {
    total = 0;
    for (var t = 0u; t < SIZE; t++) {
      total += scores[t];
    }
    sum = vec4f(0);
    for (var t = 0u; t < parts; t++) {
      sum += sums[t * p.width + thread];
    }
    y[p.y.w + batch * p.y.x + head * p.y.y + i32(query) * p.y.z + column] = sum / total;
  }
}
