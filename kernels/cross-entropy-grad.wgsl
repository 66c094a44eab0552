// dx = g / count · (softmax(x) − onehot(target)) along rows of logits x [rows, classes]; exactly 0 where the target is `ignore`.
// g is one number, count that of the targets that are not ignored.
// TEAM threads do a row, each every TEAM-th class: maximum and sum in one sweep, then dx.

override TEAM: u32 = 1; // a power of 2
override SIZE: u32 = 64; // threads of a workgroup, which does SIZE / TEAM rows

struct Params {
  rows: u32,
  columns: u32,
  ignore: i32,
  g: i32,
  x: i32, // where x begins
  xRow: i32, // from row to row
  targets: i32,
  dx: i32,
  dxRow: i32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> targets: array<i32>;
@group(0) @binding(4) var<storage, read> count: array<i32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;

const LOWEST = -0x1.fffffep+127f;
var<workgroup> scratch: array<vec2f, SIZE>;

// Of two parts of a row: the larger maximum, and the sum of both parts' powers relative to it.
fn joined(a: vec2f, b: vec2f) -> vec2f {
  let top = max(a.x, b.x);
  return vec2f(top, a.y * exp(a.x - top) + b.y * exp(b.x - top));
}

// Of a row, from what each of its threads found: maximum and sum.
fn together(local: u32, own: vec2f) -> vec2f {
  if (TEAM == 1) {
    return own;
  }
  scratch[local] = own;
  for (var half = TEAM / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (local % TEAM < half) {
      scratch[local] = joined(scratch[local], scratch[local + half]);
    }
  }
  workgroupBarrier();
  return scratch[local - local % TEAM];
}

@compute @workgroup_size(SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let row = (group.y * groups.x + group.x) * (SIZE / TEAM) + local / TEAM;
  let label = targets[p.targets + i32(min(row, p.rows - 1))];
  let columns = select(0, p.columns, row < p.rows); // all threads have to come to the barriers
  let read = select(0, columns, label != p.ignore);
  let at = p.x + i32(row) * p.xRow;
  let to = p.dx + i32(row) * p.dxRow;
  var top = LOWEST;
  var sum = 0f;
  for (var c = local % TEAM; c < read; c += TEAM) {
    // One exponential: of the distance to the maximum so far, whichever is larger.
    let v = x[at + i32(c)];
    let power = exp(-abs(v - top));
    sum = select(sum + power, sum * power + 1, v > top);
    top = max(top, v);
  }
  let whole = together(local, vec2f(top, sum));
  let scale = g[p.g] / f32(count[0]);
  for (var c = local % TEAM; c < columns; c += TEAM) {
    if (label == p.ignore) {
      dx[to + i32(c)] = 0;
    } else {
      let hit = select(0f, 1f, i32(c) == label);
      dx[to + i32(c)] = (exp(x[at + i32(c)] - whole.x) / whole.y - hit) * scale;
    }
  }
}
