// dx of y = softmax(x) along rows: y (g − Σ g y); or of y = logSoftmax(x): g − e^y Σ g. g, y, dx [rows, n].
// TEAM threads do a row, each every TEAM-th column: first the sum, then dx.

alias T = f32; // or vec4f, where rows lie so
override WIDTH: u32 = 1; // elements of a T
override LOG: bool = false;
override TEAM: u32 = 1; // a power of 2
override SIZE: u32 = 64; // threads of a workgroup, which does SIZE / TEAM rows

struct Params {
  rows: u32,
  columns: u32, // of a row, each a T
  g: i32, // where g begins, in T, as the strides are
  gRow: i32, // from row to row
  y: i32,
  yRow: i32,
  dx: i32,
  dxRow: i32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> g: array<T>;
@group(0) @binding(2) var<storage, read> y: array<T>;
@group(0) @binding(3) var<storage, read_write> dx: array<T>;

var<workgroup> scratch: array<f32, SIZE>;

// Of a row, from what each of its threads summed.
fn total(local: u32, sum: T) -> f32 {
  let parts = vec4f(sum);
  let own = select(parts.x, dot(parts, vec4f(1)), WIDTH == 4);
  if (TEAM == 1) {
    return own;
  }
  scratch[local] = own;
  for (var half = TEAM / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (local % TEAM < half) {
      scratch[local] += scratch[local + half];
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
  let atG = p.g + i32(row) * p.gRow;
  let atY = p.y + i32(row) * p.yRow;
  let to = p.dx + i32(row) * p.dxRow;
  var sum = T(0);
  for (var c = local % TEAM; c < columns; c += TEAM) {
    if (LOG) {
      sum += g[atG + i32(c)];
    } else {
      sum += g[atG + i32(c)] * y[atY + i32(c)];
    }
  }
  let all = T(total(local, sum));
  for (var c = local % TEAM; c < columns; c += TEAM) {
    if (LOG) {
      dx[to + i32(c)] = g[atG + i32(c)] - exp(y[atY + i32(c)]) * all;
    } else {
      dx[to + i32(c)] = y[atY + i32(c)] * (g[atG + i32(c)] - all);
    }
  }
}
