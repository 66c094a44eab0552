// dx of layerNorm along rows: (h − mean(h) − unit · mean(h · unit)) / σ, with h = g · weight, σ = √(mean((x − mean)²) + eps)
// and unit = (x − mean) / σ; without the means of x and h that of rmsNorm. g, x, dx [rows, n], weight [n].
// TEAM threads do a row, each every TEAM-th column, in three sweeps: x's mean; the three sums; dx.

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
  g: i32, // where g begins, in T, as the strides are
  gRow: i32, // from row to row
  x: i32,
  xRow: i32,
  weight: i32,
  dx: i32,
  dxRow: i32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> g: array<T>;
@group(0) @binding(2) var<storage, read> x: array<T>;
@group(0) @binding(3) var<storage, read> weight: array<T>;
@group(0) @binding(4) var<storage, read_write> dx: array<T>;

var<workgroup> scratch: array<vec4f, SIZE>;

// Of a row, four sums, from what each of its threads summed.
fn totals(local: u32, a: T, b: T, c: T, d: T) -> vec4f {
  var own = vec4f(vec4f(a).x, vec4f(b).x, vec4f(c).x, vec4f(d).x);
  if (WIDTH == 4) {
    own = vec4f(1) * mat4x4f(vec4f(a), vec4f(b), vec4f(c), vec4f(d));
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
  let atG = p.g + i32(row) * p.gRow;
  let atX = p.x + i32(row) * p.xRow;
  let to = p.dx + i32(row) * p.dxRow;
  var mean = 0f;
  if (CENTRED) {
    var sum = T(0);
    for (var c = local % TEAM; c < columns; c += TEAM) {
      sum += x[atX + i32(c)];
    }
    mean = totals(local, sum, T(0), T(0), T(0)).x / p.n;
  }
  var squares = T(0);
  var rest = T(0); // what the mean's rounding leaves
  var sumH = T(0);
  var products = T(0);
  for (var c = local % TEAM; c < columns; c += TEAM) {
    let centred = x[atX + i32(c)] - T(mean);
    let h = g[atG + i32(c)] * weight[p.weight + i32(c)];
    squares += centred * centred;
    rest += centred;
    sumH += h;
    products += h * centred;
  }
  let means = totals(local, squares, rest, sumH, products) / p.n;
  let missed = select(0, means.y, CENTRED);
  let rstd = 1 / sqrt(means.x - missed * missed + p.eps);
  let meanH = select(0, means.z, CENTRED);
  let slope = (means.w - missed * meanH) * rstd * rstd; // mean(h · unit) / σ
  for (var c = local % TEAM; c < columns; c += TEAM) {
    let centred = x[atX + i32(c)] - T(mean) - T(missed);
    let h = g[atG + i32(c)] * weight[p.weight + i32(c)];
    dx[to + i32(c)] = (h - T(meanH) - centred * T(slope)) * T(rstd);
  }
}
