// out[i, j] = table[index[i], j]: rows of a table. i runs over up to 3 axes of the index, j over up to 3 of a row.
// A thread copies one element.

override FROM: u32 = 0; // how the table is stored: 0 as out is, 1 f16, 2 bf16, 3 u8 to f32, 4 u32 to f32
override SIZE: u32 = 64;

struct Params {
  indexAxes: vec4u, // lengths of the index's axes, innermost first
  index: vec4i, // index's strides along them
  outIndex: vec4i, // out's strides along them
  rowAxes: vec4u, // lengths of a row's axes, innermost first
  table: vec4i, // the table's strides along them
  outRow: vec4i,
  indexAt: i32,
  tableAt: i32,
  outAt: i32,
  rowStride: i32, // from row to row of the table
  first: i32, // rows of the table that this dispatch sees: from here,
  rows: i32, // so many
  bound: i32, // rows of the table in all
  width: u32, // elements of a row
  count: u32, // elements of out
  serial: u32, // of this call: who finds a bad index says so
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read> index: array<i32>;
@group(0) @binding(3) var<storage, read_write> out: array<u32>;
@group(0) @binding(4) var<storage, read_write> bad: array<atomic<u32>, 4>; // serial, position, value

fn load(at: i32) -> u32 {
  if (FROM == 1) {
    return bitcast<u32>(unpack2x16float(table[at >> 1])[at & 1]);
  }
  if (FROM == 2) {
    return (table[at >> 1] >> (u32(at & 1) * 16)) << 16;
  }
  if (FROM == 3) {
    return bitcast<u32>(f32((table[at >> 2] >> (u32(at & 3) * 8)) & 0xff));
  }
  if (FROM == 4) {
    return bitcast<u32>(f32(table[at]));
  }
  return table[at];
}

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
  var source = p.tableAt;
  var to = p.outAt;
  for (var axis = 0; axis < 3; axis++) {
    let j = i32(rest % p.rowAxes[axis]);
    rest /= p.rowAxes[axis];
    source += j * p.table[axis];
    to += j * p.outRow[axis];
  }
  let position = i / p.width;
  rest = position;
  var at = p.indexAt;
  for (var axis = 0; axis < 3; axis++) {
    let j = i32(rest % p.indexAxes[axis]);
    rest /= p.indexAxes[axis];
    at += j * p.index[axis];
    to += j * p.outIndex[axis];
  }
  let row = index[at];
  if (row < 0 || row >= p.bound) {
    if (atomicCompareExchangeWeak(&bad[0], 0u, p.serial).exchanged) {
      atomicStore(&bad[1], position);
      atomicStore(&bad[2], bitcast<u32>(row));
    }
    return;
  }
  if (row < p.first || row >= p.first + p.rows) {
    return;
  }
  out[to] = load(source + (row - p.first) * p.rowStride);
}
