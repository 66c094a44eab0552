// table[index[i], j] += rows[i, j], in the order of i: the same bits at each run. The host sorts the positions i by the row
// they go to, since it wrote the index; a thread adds up one element of one row of the table.

alias T = f32;
override SIZE: u32 = 64;

struct Params {
  indexAxes: vec4u, // lengths of the index's axes, innermost first
  rowsIndex: vec4i, // rows' strides along them
  rowAxes: vec4u, // lengths of a row's axes, innermost first
  table: vec4i, // the table's strides along them
  rowsRow: vec4i, // rows' strides
  tableAt: i32,
  rowsAt: i32,
  rowStride: i32, // from row to row of the table
  width: u32, // elements of a row
  count: u32, // rows of the table that are named, times width
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> order: array<i32>; // for each named row: its number, and where its positions begin and end; then all positions
@group(0) @binding(2) var<storage, read> rows: array<T>;
@group(0) @binding(3) var<storage, read_write> table: array<T>;

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
  var rest = i % p.width;
  var to = p.tableAt;
  var source = p.rowsAt;
  for (var axis = 0; axis < 3; axis++) {
    let j = i32(rest % p.rowAxes[axis]);
    rest /= p.rowAxes[axis];
    to += j * p.table[axis];
    source += j * p.rowsRow[axis];
  }
  let named = 3 * (i / p.width);
  to += order[named] * p.rowStride;
  let end = order[named + 2];
  var sum = table[to];
  for (var place = order[named + 1]; place < end; place++) {
    rest = u32(order[place]);
    var at = source;
    for (var axis = 0; axis < 3; axis++) {
      at += i32(rest % p.indexAxes[axis]) * p.rowsIndex[axis];
      rest /= p.indexAxes[axis];
    }
    sum += rows[at];
  }
  table[to] = sum;
}
