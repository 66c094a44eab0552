// d[r, j] = scale · w[r, j] (d[r, j] − Σ_j w[r, j] d[r, j]) in place: from weights and their gradients to the scores'
// gradients, for a block of queries, r = (batch, head, query of the block). It is 0 for a key that a query must not look at.
// One thread does one row, in two passes.

override SIZE: u32 = 8;

struct Params {
  mask: vec4i, // strides of batch, head, query, key
  maskAt: i32, // where the mask of the block's first query begins
  heads: u32,
  queries: u32, // of the block
  keys: u32,
  row: u32, // vectors of four from row to row
  behind: u32, // the block's query i sees the keys 0 … i + behind, if causal
  causal: u32,
  masked: u32,
  count: u32, // rows
  scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> mask: array<i32>;
@group(0) @binding(2) var<storage, read> w: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> d: array<vec4f>;

@compute @workgroup_size(SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let r = (group.y * groups.x + group.x) * SIZE + local;
  if (r >= p.count) {
    return;
  }
  let at = r * p.row;
  let i = r % p.queries;
  var sum = vec4f(0);
  for (var c = 0u; c < p.row; c++) {
    let j = vec4u(4 * c) + vec4u(0, 1, 2, 3);
    sum += select(w[at + c] * d[at + c], vec4f(0), j >= vec4u(p.keys));
  }
  let mean = dot(sum, vec4f(1));
  let last = select(p.keys - 1, i + p.behind, p.causal != 0);
  let head = r / p.queries % p.heads;
  let batch = r / p.queries / p.heads;
  let maskAt = p.maskAt + i32(batch) * p.mask.x + i32(head) * p.mask.y + i32(i) * p.mask.z;
  for (var c = 0u; c < p.row; c++) {
    let j = vec4u(4 * c) + vec4u(0, 1, 2, 3);
    var value = p.scale * w[at + c] * (d[at + c] - mean);
    if (p.masked != 0) {
      let m = vec4i(min(j, vec4u(p.keys - 1))) * p.mask.w + maskAt;
      let hidden = vec4i(mask[m.x], mask[m.y], mask[m.z], mask[m.w]) == vec4i(0);
      value = select(value, vec4f(0), hidden | (j > vec4u(last)));
    }
    d[at + c] = value;
  }
}
