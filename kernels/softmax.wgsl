// y = softmax(x) along rows: e^(x − max) / Σ e^(x − max); or its logarithm, x − max − log Σ e^(x − max). x, y [rows, n].
// TEAM threads do a row, each every TEAM-th column: first its maximum and its sum in one sweep, then y in another.

alias T = f32; // or vec4f, where rows lie so
override WIDTH: u32 = 1; // elements of a T
override LOG: bool = false;
override TEAM: u32 = 1; // a power of 2
override SIZE: u32 = 64; // threads of a workgroup, which does SIZE / TEAM rows

struct Params {
  rows: u32,
  columns: u32, // of a row, each a T
  x: i32, // where x begins, in T, as the strides are
  xRow: i32, // from row to row
  y: i32,
  yRow: i32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<T>;
@group(0) @binding(2) var<storage, read_write> y: array<T>;

const LOWEST = -0x1.fffffep+127f;
var<workgroup> scratch: array<vec2f, SIZE>;

// Of two parts of a row: the larger maximum, and the sum of both parts' powers relative to it.
fn joined(a: vec2f, b: vec2f) -> vec2f {
  let top = max(a.x, b.x);
  return vec2f(top, a.y * exp(a.x - top) + b.y * exp(b.x - top));
}

// Of a row, from what each of its threads found: maximum and sum.
fn together(local: u32, top: T, sum: T) -> vec2f {
  let tops = vec4f(top);
  let sums = vec4f(sum);
  var own = vec2f(tops.x, sums.x);
  if (WIDTH == 4) {
    own = joined(joined(own, vec2f(tops.y, sums.y)), joined(vec2f(tops.z, sums.z), vec2f(tops.w, sums.w)));
  }
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
  let columns = select(0, p.columns, row < p.rows); // all threads have to come to the barriers
  let source = p.x + i32(row) * p.xRow;
  let to = p.y + i32(row) * p.yRow;
  var top = T(LOWEST);
  var sum = T(0);
  for (var c = local % TEAM; c < columns; c += TEAM) {
    // One exponential: of the distance to the maximum so far, whichever is larger.
    let v = x[source + i32(c)];
    let power = exp(-abs(v - top));
    sum = select(sum + power, sum * power + T(1), v > top);
    top = max(top, v);
  }
  let whole = together(local, top, sum);
  let scale = select(1 / whole.y, log(whole.y), LOG);
  for (var c = local % TEAM; c < columns; c += TEAM) {
    let v = x[source + i32(c)] - T(whole.x);
    if (LOG) {
      y[to + i32(c)] = v - T(scale);
    } else {
      y[to + i32(c)] = exp(v) * T(scale);
    }
  }
}
