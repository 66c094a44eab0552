// out[o] = Σ x[o, t] or max x[o, t] over the terms t: kept axes o (up to 4), summed axes t (up to 2).
// One thread sums one chunk of one result, in order. A long sum takes two dispatches: its chunks, then their sums.

alias T = f32;
override MAX: bool = false;
override SIZE: u32 = 64;

struct Params {
  kept: vec4u, // lengths of the kept axes, innermost first
  keptX: vec4i, // x's strides along them
  keptOut: vec4i, // out's
  x: i32, // where x begins
  out: i32,
  outer: u32, // lengths of the summed axes
  inner: u32,
  outerX: i32, // x's strides along them
  innerX: i32,
  count: u32, // results
  chunks: u32, // of each result; they lie one behind the other in out
  chunk: u32, // terms of a chunk
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<T>;
@group(0) @binding(2) var<storage, read_write> out: array<T>;

@compute @workgroup_size(SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * SIZE + local;
  if (i >= p.count * p.chunks) {
    return;
  }
  // Neighbouring threads have neighbouring results, so that they read side by side where x lies so.
  let result = i % p.count;
  let chunk = i / p.count;
  var rest = result;
  var at = p.x;
  var to = p.out;
  for (var axis = 0; axis < 4; axis++) {
    let index = i32(rest % p.kept[axis]);
    rest /= p.kept[axis];
    at += index * p.keptX[axis];
    to += index * p.keptOut[axis];
  }
  let begin = chunk * p.chunk;
  let end = min(begin + p.chunk, p.outer * p.inner);
  var row = begin / p.inner;
  var column = begin % p.inner;
  var sum = T(0);
  if (MAX) {
    sum = x[at + i32(row) * p.outerX + i32(column) * p.innerX];
  }
  var t = begin;
  while (t < end) {
    let stop = min(p.inner, column + end - t);
    t += stop - column;
    var source = at + i32(row) * p.outerX + i32(column) * p.innerX;
    for (; column < stop; column++) {
      let value = x[source];
      if (MAX) {
        sum = max(sum, value);
      } else {
        sum += value;
      }
      source += p.innerX;
    }
    column = 0;
    row++;
  }
  out[to + i32(chunk * p.count)] = sum;
}
