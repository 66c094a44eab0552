// statistics[row] = mean, the rest of it that f32 cannot hold beside it, and 1/σ of a row of x [rows, n], with
// σ = √(mean((x − mean)²) + eps): what layerNorm's gradient of the weight needs; for rmsNorm the mean is taken as 0.
// TEAM threads do a row, each every TEAM-th column, in two sweeps: the mean, the variance of what is centred.

alias T = f32; // or vec4f, where rows lie so
override WIDTH: u32 = 1; // elements of a T
override CENTRED: bool = true; // layerNorm
override TEAM: u32 = 1; // a power of 2
override SIZE: u32 = 64; // threads of a workgroup, which does SIZE / TEAM rows

struct Params {
  rows: u32,
  columns: u32, // of a row, each a T
  n: f32, // elements of a row
  eps: f32,
  x: i32, // where x begins, in T, as the stride is
  xRow: i32, // from row to row
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<T>;
@group(0) @binding(2) var<storage, read_write> statistics: array<vec4f>;

var<workgroup> scratch: array<vec2f, SIZE>;

// Of a row, two sums, from what each of its threads summed.
fn totals(local: u32, a: T, b: T) -> vec2f {
  var own = vec2f(vec4f(a).x, vec4f(b).x);
  if (WIDTH == 4) {
    own = vec2f(dot(vec4f(a), vec4f(1)), dot(vec4f(b), vec4f(1)));
  }
  if (TEAM == 1) {
    return own;
  }
  workgroupBarrier(); // all have read the totals before
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
  let at = p.x + i32(row) * p.xRow;
  var mean = 0f;
  if (CENTRED) {
    var sum = T(0);
    for (var c = local % TEAM; c < columns; c += TEAM) {
      sum += x[at + i32(c)];
    }
    mean = totals(local, sum, T(0)).x / p.n;
  }
  var squares = T(0);
  var rest = T(0); // what the mean's rounding leaves
  for (var c = local % TEAM; c < columns; c += TEAM) {
    let centred = x[at + i32(c)] - T(mean);
    squares += centred * centred;
    rest += centred;
  }
  let sums = totals(local, squares, rest) / p.n;
  let missed = select(0, sums.y, CENTRED);
  if (row < p.rows && local % TEAM == 0) {
    statistics[row] = vec4f(mean, missed, 1 / sqrt(sums.x - missed * missed + p.eps), 0);
  }
}
