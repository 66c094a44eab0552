/** The first of a tensor's values that is not finite, in words: `NaN at [3, 1]`; undefined if all are. */
export function firstInfinite(values: ArrayLike<number>, shape: readonly number[]): string | undefined {
  const at = Array.prototype.findIndex.call(values, (v: number) => !Number.isFinite(v));
  return at < 0 ? undefined : `${values[at]} at [${placeOf(at, shape).join(', ')}]`;
}

function placeOf(at: number, shape: readonly number[]): number[] {
  const place: number[] = [];
  let rest = at;
  for (const length of shape.toReversed()) {
    place.unshift(rest % length);
    rest = Math.floor(rest / length);
  }
  return place;
}
