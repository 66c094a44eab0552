// table[index[i], j] += rows[i, j], in the order of i, where the index was made on the device and the host cannot sort it.
// A thread does one column j, from the first position to the last.

alias T = f32;
override SIZE: u32 = 64;

struct Params {
  indexAxes: vec4u, // lengths of the index's axes, innermost first
  index: vec4i, // index's strides along them
  rowsIndex: vec4i, // rows' strides along them
  rowAxes: vec4u, // lengths of a row's axes, innermost first
  table: vec4i, // the table's strides along them
  rowsRow: vec4i, // rows' strides
  indexAt: i32,
  tableAt: i32,
  rowsAt: i32,
  rowStride: i32, // from row to row of the table
  bound: i32, // rows of the table
  width: u32, // elements of a row
  positions: u32, // elements of the index
  serial: u32, // of this call: who finds a bad index says so
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> index: array<i32>;
@group(0) @binding(2) var<storage, read> rows: array<T>;
@group(0) @binding(3) var<storage, read_write> table: array<T>;
@group(0) @binding(4) var<storage, read_write> bad: array<atomic<u32>, 4>; // serial, position, value

@compute @workgroup_size(SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * SIZE + local;
  if (i >= p.width) {
    return;
  }
  var rest = i;
  var to = p.tableAt;
  var source = p.rowsAt;
  for (var axis = 0; axis < 3; axis++) {
    let j = i32(rest % p.rowAxes[axis]);
    rest /= p.rowAxes[axis];
    to += j * p.table[axis];
    source += j * p.rowsRow[axis];
  }
  for (var position = 0u; position < p.positions; position++) {
    rest = position;
    var at = p.indexAt;
    var value = source;
    for (var axis = 0; axis < 3; axis++) {
      let j = i32(rest % p.indexAxes[axis]);
      rest /= p.indexAxes[axis];
      at += j * p.index[axis];
      value += j * p.rowsIndex[axis];
    }
    let row = index[at];
    if (row < 0 || row >= p.bound) {
      if (atomicCompareExchangeWeak(&bad[0], 0u, p.serial).exchanged) {
        atomicStore(&bad[1], position);
        atomicStore(&bad[2], bitcast<u32>(row));
      }
      continue;
    }
    table[to + row * p.rowStride] += rows[value];
  }
}
