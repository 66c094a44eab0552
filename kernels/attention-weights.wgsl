// s[r, j] = softmax_j(s[r, j]) in place, where keys that a query must not look at weigh nothing: the scores of a block of
// queries, r = (batch, head, query of the block). A query that sees no key at all weighs all alike.
// One thread does one row, in two passes: its maximum and sum online, then its weights.

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
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> mask: array<i32>;
@group(0) @binding(2) var<storage, read_write> s: array<vec4f>;

const HIDDEN = -1e30f; // as the op has it
const OUTSIDE = -3e38f; // the score of a key that there is not: nothing even beside hidden ones

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
  let i = r % p.queries;
  let head = r / p.queries % p.heads;
  let batch = r / p.queries / p.heads;
  let maskAt = p.maskAt + i32(batch) * p.mask.x + i32(head) * p.mask.y + i32(i) * p.mask.z;
  let last = select(p.keys - 1, min(i + p.behind, p.keys - 1), p.causal != 0);
  let at = r * p.row;

  var top = vec4f(OUTSIDE);
  var total = vec4f(0);
  for (var c = 0u; c < p.row; c++) {
    let value = score(at, c, last, maskAt);
    let next = max(top, value);
    total = total * exp(top - next) + exp(value - next);
    top = next;
  }
  let most = max(max(top.x, top.y), max(top.z, top.w));
  let sum = dot(total * exp(top - most), vec4f(1));
  for (var c = 0u; c < p.row; c++) {
    s[at + c] = exp(score(at, c, last, maskAt) - most) / sum;
  }
}

fn score(at: u32, c: u32, last: u32, maskAt: i32) -> vec4f {
  let j = vec4u(4 * c) + vec4u(0, 1, 2, 3);
  var value = select(s[at + c], vec4f(HIDDEN), j > vec4u(last));
  if (p.masked != 0) {
    let m = vec4i(min(j, vec4u(p.keys - 1))) * p.mask.w + maskAt;
    value = select(value, vec4f(HIDDEN), vec4i(mask[m.x], mask[m.y], mask[m.z], mask[m.w]) == vec4i(0));
  }
  return select(value, vec4f(OUTSIDE), j >= vec4u(p.keys));
}
