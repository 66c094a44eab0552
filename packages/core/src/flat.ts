/**
 * Many tensors side by side in one memory: what treats them all alike (an optimiser's step, the norm of all gradients)
 * is then one call of the device, and not one for each.
 */
import { BaxError } from './errors.ts';
import { type Memory, wholeOf } from './memory.ts';
import { noGrad } from './op.ts';
import { concat, reshape } from './ops/view.ts';
import { isDryRun } from './recording.ts';
import { composite } from './scope.ts';
import { rowMajor } from './shape.ts';
import { alias, moveTo, Tensor } from './tensor.ts';
import { isContiguous } from './view.ts';

/** The most elements that are laid side by side: as f32 they fit into any adapter's binding, 128 MiB. */
const MOST = 2 ** 25;
/** Kernels that read vectors want tensors to begin at multiples of so many elements. */
const VECTOR = 4;

/**
 * Moves the elements of tensors that agree in dtype and backend into one memory, side by side; a memory ends at 2^25
 * elements and is given back when all its tensors are. Values, shapes and versions stay. A tensor whose memory others
 * share, whose elements lie apart, or that is held narrow, stays where it is. For a moment both copies are there. A step
 * that is warmed up moves nothing.
 * @throws if one is the result of a recorded op.
 */
export function moveTogether(tensors: readonly Tensor[]): void {
  for (const t of tensors)
    if (t.check('moveTogether').record)
      throw new BaxError('moveTogether: one of the tensors is the result of a recorded op');
  if (isDryRun()) return;
  const alone = ({ holders, parent }: Memory): boolean => holders === 1 && parent === undefined;
  const movable = tensors.filter(
    (t) => t.size > 0 && t.storage === t.dtype && alone(t.hold.memory) && isContiguous(t.view),
  );
  for (const group of groupsOf(
    movable,
    (t) => t.backend,
    (t) => t.dtype,
  ).flatMap(capped)) {
    if (group.length === 1) continue;
    // What does not end where vectors do goes last, so that all others begin there.
    const ragged = (t: Tensor): number => (t.size % VECTOR === 0 ? 0 : 1);
    const order = group.toSorted((a, b) => ragged(a) - ragged(b));
    sideBySide(order).forEach((copy, i) => moveTo(order[i]!, copy));
  }
}

/**
 * Copies of the tensors; they lie side by side where the tensors of `model`, to which they belong one by one, do so.
 * @throws if the lists differ in length.
 */
export function copyAlike(tensors: readonly Tensor[], model: readonly Tensor[]): Tensor[] {
  if (tensors.length !== model.length)
    throw new BaxError(`copyAlike: ${tensors.length} tensors cannot lie as ${model.length} do`);
  const copies: Tensor[] = [];
  const places = model.map((t, i) => ({
    i,
    memory: wholeOf(t.hold.memory),
    at: t.view.offset,
    t: tensors[i]!,
  }));
  for (const group of groupsOf(
    places,
    ({ memory }) => memory,
    ({ t }) => t.dtype,
    ({ t }) => t.backend,
  )) {
    const order = group.toSorted((a, b) => a.at - b.at);
    sideBySide(order.map(({ t }) => t)).forEach((copy, k) => (copies[order[k]!.i] = copy));
  }
  return copies;
}

/** Tensors side by side, seen as one: of each of several lists. */
export interface Run {
  /** Whose members they are, in the order in which they lie. */
  readonly indices: readonly number[];
  /** One for each list: flat [n], or the only member as it is. Memory is shared. */
  readonly tensors: readonly Tensor[];
}

/** As few runs as hold every member of every list: those that lie side by side in one order in all of them are one run. */
export function runsOf(...lists: readonly (readonly Tensor[])[]): Run[] {
  const places = lists[0]!.map((t, i) => ({ i, memory: wholeOf(t.hold.memory), at: t.view.offset }));
  return groupsOf(places, ({ memory }) => memory).flatMap((group) => {
    const indices = group.toSorted((a, b) => a.at - b.at).map(({ i }) => i);
    const flat = indices.length === 1 ? [] : lists.map((list) => asOne(indices.map((i) => list[i]!)));
    const tensors = flat.filter((t) => t !== undefined);
    if (tensors.length === lists.length) return [{ indices, tensors }];
    for (const t of tensors) t.dispose();
    return indices.map((i) => ({ indices: [i], tensors: lists.map((list) => list[i]!) }));
  });
}

/** f of the i-th members of all lists, for each i, in as few calls as there are runs: f must be elementwise. */
export function mapRuns(
  lists: readonly (readonly Tensor[])[],
  f: (...tensors: readonly Tensor[]) => Tensor,
): Tensor[] {
  const results: Tensor[] = [];
  for (const { indices, tensors } of runsOf(...lists)) {
    const y = f(...tensors);
    const parts = indices.length === 1 ? [y] : windowsOf(y, indices.map((i) => lists[0]![i]!)); // prettier-ignore
    indices.forEach((i, k) => (results[i] = parts[k]!));
  }
  return results;
}

/** One flat tensor [n] on the tensors' own memory, if they lie side by side in this order. */
function asOne(tensors: readonly Tensor[]): Tensor | undefined {
  const { view, hold } = tensors[0]!;
  const memory = wholeOf(hold.memory);
  let end = view.offset;
  for (const t of tensors) {
    if (wholeOf(t.hold.memory) !== memory || t.view.offset !== end || !isContiguous(t.view)) return undefined;
    end += t.size;
  }
  return new Tensor({ ...view, shape: [end - view.offset], strides: [1] }, memory);
}

/** Windows of a flat tensor, one behind the other, in the shapes of `like`. */
function windowsOf(flat: Tensor, like: readonly Tensor[]): Tensor[] {
  let { offset } = flat.view;
  return like.map(({ shape, size }) => {
    offset += size;
    return alias(flat, { ...flat.view, shape, strides: rowMajor(shape), offset: offset - size });
  });
}

/** Copies, one behind the other in one memory. */
const sideBySide = (tensors: readonly Tensor[]): Tensor[] =>
  composite(() => noGrad(() => windowsOf(concat(tensors.map((t) => reshape(t, [t.size]))), tensors)));

/** Items of which all keys are equal, in their order. */
function groupsOf<T>(items: readonly T[], ...[key, ...keys]: readonly ((item: T) => unknown)[]): T[][] {
  if (!key) return [[...items]];
  const groups = new Map<unknown, T[]>();
  for (const item of items) {
    const value = key(item);
    const group = groups.get(value);
    if (group) group.push(item);
    else groups.set(value, [item]);
  }
  return [...groups.values()].flatMap((group) => groupsOf(group, ...keys));
}

/** The tensors in their order, in groups of at most 2^25 elements. */
function capped(tensors: readonly Tensor[]): Tensor[][] {
  const groups: Tensor[][] = [];
  let room = 0;
  for (const t of tensors) {
    room -= t.size;
    if (room >= 0) groups.at(-1)!.push(t);
    else {
      groups.push([t]);
      room = MOST - t.size;
    }
  }
  return groups;
}
