// sums[chunk, c] = Σ g[row, c] · (x[row, c] − mean[row]) / σ[row] over the rows of a chunk: a norm's gradient of the weight,
// once its chunks are summed. g, x [rows, n]; the statistics as norm-statistics.wgsl leaves them.
// A thread does one column of one chunk, in the order of the rows.

alias T = f32; // or vec4f, where rows lie so
override SIZE: u32 = 64;

struct Params {
  rows: u32,
  columns: u32, // of a row, each a T
  chunk: u32, // rows
  count: u32, // chunks · columns
  g: i32, // where g begins, in T, as the strides are
  gRow: i32, // from row to row
  x: i32,
  xRow: i32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> g: array<T>;
@group(0) @binding(2) var<storage, read> x: array<T>;
@group(0) @binding(3) var<storage, read> statistics: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> sums: array<T>;

@compute @workgroup_size(SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * SIZE + local;
  if (i >= p.count) {
    return;
  }
  let c = i32(i % p.columns);
  let begin = i / p.columns * p.chunk;
  var sum = T(0);
  for (var row = begin; row < min(begin + p.chunk, p.rows); row++) {
    let moments = statistics[row];
    let centred = x[p.x + i32(row) * p.xRow + c] - T(moments.x) - T(moments.y);
    sum += g[p.g + i32(row) * p.gRow + c] * centred * T(moments.z);
  }
  sums[i] = sum;
}
