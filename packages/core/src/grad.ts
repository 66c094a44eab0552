import { constantLike } from './create.ts';
import { BaxError, within } from './errors.ts';
import * as e from './expr.ts';
import { scalarFn } from './expr.ts';
import { versionOf } from './memory.ts';
import { type Cotangent, noGrad, type TapeRecord, type Vjp } from './op.ts';
import { add, cast, copy } from './ops/elementwise.ts';
import { sum } from './ops/reduce.ts';
import { expand, reshape } from './ops/view.ts';
import { composite, scope } from './scope.ts';
import { sameShape, showShape } from './shape.ts';
import { tapeOf } from './tape.ts';
import { alias, isTensor, type Tensor, wantWide } from './tensor.ts';
import { isContiguous } from './view.ts';

export interface GradOptions {
  /** Keep the tape and the activations, so that `grad` can be called again. */
  readonly retain?: boolean;
  /** Record the backward walk, so that gradients can be differentiated. Implies `retain`. */
  readonly createGraph?: boolean;
  /** ∂L/∂loss, of loss's shape, for a `loss` that is not a scalar. Default 1. */
  readonly cotangent?: Tensor;
  /** Give zeros for a parameter that does not influence the loss, instead of an error. */
  readonly allowUnused?: boolean;
  /** What errors call the params. Default `params[0]`, … */
  readonly names?: readonly string[];
}

const CONSUMED = 'by grad() after its last use; keep() it before, or pass { retain: true }';

/**
 * ∂loss/∂p for each p of `params`, of p's shape. Visits only what lies between the loss and the params, from the last
 * call to the first. Consumes the tape: each activation is freed after its last use. Each gradient has memory of its
 * own, so that it may be changed in place.
 * @throws if loss is not a scalar and no cotangent is given, if the tape is gone, if what an op took or gave was changed
 * in place since, if a param is held narrow or does not influence the loss.
 */
export function grad(loss: Tensor, params: readonly Tensor[], options: GradOptions = {}): Tensor[] {
  loss.check('grad');
  if (loss.size !== 1 && !options.cotangent)
    throw new BaxError(
      `grad: the loss must be a scalar, this one is ${showShape(loss.shape)}; reduce it with mean() or sum(), or pass { cotangent }`,
    );
  if (options.cotangent && !sameShape(options.cotangent.shape, loss.shape))
    throw new BaxError(
      `grad: the cotangent is ${showShape(options.cotangent.shape)}, the loss ${showShape(loss.shape)}`,
    );
  if (!loss.record && !params.includes(loss) && !(options.allowUnused && params.length > 0))
    throw new BaxError(
      `grad: this loss has no tape: no input of it has requiresGrad (set it before, or take valueAndGrad()), or an earlier grad() consumed it (pass { retain: true } there)`,
    );
  params.forEach((p, i) => wantWide('grad', p, `params[${i}]`));
  const wanted = new Set(params);
  return composite(() =>
    options.createGraph
      ? walk(loss, wanted, params, options)
      : noGrad(() => walk(loss, wanted, params, options)),
  );
}

/** The records between the loss and the wanted tensors, in the order in which they were made. */
function between(loss: Tensor, wanted: ReadonlySet<Tensor>): { records: TapeRecord[]; leads: Set<Tensor> } {
  const leads = new Set(wanted);
  const records = tapeOf(loss).filter((record) => {
    const leading = record.inputs.some((x) => leads.has(x));
    if (leading) for (const y of record.outputs) leads.add(y);
    return leading;
  });
  const gone = records.find((record) => record.consumed);
  if (gone)
    throw new BaxError(
      `grad: an earlier grad() consumed the ${gone.op.name} on which this loss depends too; pass { retain: true } there, or add up the losses`,
    );
  return { records, leads };
}

function walk(
  loss: Tensor,
  wanted: ReadonlySet<Tensor>,
  params: readonly Tensor[],
  options: GradOptions,
): Tensor[] {
  const { records, leads } = between(loss, wanted);
  const consume = !options.retain && !options.createGraph;
  const seed = options.cotangent ?? filled(loss, 1);
  const gradients = new Map<Tensor, Tensor>([
    [loss, options.createGraph && seed.tracked ? seed : alias(seed)],
  ]);
  /** Whatever was a gradient in this walk. */
  const known = new Set<Tensor>(gradients.values());
  const accumulate = (x: Tensor, g: Tensor): void => {
    const sofar = gradients.get(x);
    const whole = sofar ? add(sofar, g) : g;
    gradients.set(x, whole);
    known.add(whole);
    if (sofar && !options.createGraph) [sofar, g].forEach((t) => t.dispose());
  };
  const windowed = new Set<Tensor>();
  const firstUse = new Map<Tensor, TapeRecord>();
  for (const record of records)
    for (const x of record.inputs) if (x.tapeOwned && !firstUse.has(x)) firstUse.set(x, record);
  for (const record of records.reverse()) {
    if (record.op.window && !options.createGraph) addWindow(record, gradients, leads, windowed, known);
    else if (record.outputs.some((y) => gradients.has(y)))
      for (const [x, g] of backwardOf(record, gradients, leads, options.createGraph ? undefined : known))
        accumulate(x, g);
    record.consumed = consume;
    for (const y of record.outputs) {
      if (!wanted.has(y)) {
        if (!options.createGraph) gradients.get(y)?.dispose();
        gradients.delete(y);
      }
      if (!consume) continue;
      y.record = undefined;
      if (y !== loss && !y.kept && !wanted.has(y)) y.dispose(CONSUMED);
    }
    if (consume) for (const x of record.inputs) if (firstUse.get(x) === record) x.dispose(CONSUMED);
  }
  return params.map((p, i) => {
    const g = gradients.get(p);
    if (g) return params.indexOf(p) < i ? copy(g) : own(g);
    if (options.allowUnused) return own(filled(p, 0));
    throw new BaxError(
      `grad: ${options.names?.[i] ?? `params[${i}]`} ${showShape(p.shape)} does not influence the loss; leave it out, or pass { allowUnused: true } for zeros`,
    );
  });
}

/**
 * The gradient of a slice, added to its place in the gradient of what was sliced: as padding and adding would, but
 * touching no more than the slice. `windowed` are the gradients that were begun so: nobody else holds them.
 */
function addWindow(
  { op, inputs: [x], outputs: [y], attrs, path }: TapeRecord,
  gradients: Map<Tensor, Tensor>,
  leads: ReadonlySet<Tensor>,
  windowed: Set<Tensor>,
  known: Set<Tensor>,
): void {
  const g = gradients.get(y!);
  if (!g || !leads.has(x!)) return;
  within(path, () => {
    const sofar = gradients.get(x!);
    let whole = sofar;
    if (!whole || !windowed.has(whole)) {
      whole = copy(sofar ?? filled(x!, 0));
      sofar?.dispose();
      gradients.set(x!, whole);
      windowed.add(whole);
      known.add(whole);
    }
    const window = op.view!(whole.view, attrs);
    const { backend } = whole;
    backend.map(scalarFn(whole.dtype, 2, 0, [e.add(e.input(0), e.input(1))]), [window, g.view], [window], []);
  });
}

/** g, or a copy of it if its memory is shared with another tensor or its elements share some: a parameter twice, a constant. */
function own(g: Tensor): Tensor {
  return g.record || (!g.kept && g.hold.memory.holders === 1 && isContiguous(g.view)) ? g : copy(g);
}

/**
 * The gradients that one record passes to those of its inputs that lead to a wanted tensor: each a tensor that is not
 * among the `known`, if these are given.
 */
function backwardOf(
  record: TapeRecord,
  gradients: ReadonlyMap<Tensor, Tensor>,
  leads: ReadonlySet<Tensor>,
  known: ReadonlySet<Tensor> | undefined,
): [Tensor, Tensor][] {
  const { op, inputs, outputs, attrs, versions, path } = record;
  const rules = (): [Tensor, Tensor][] => {
    [...inputs, ...outputs].forEach((x, i) => {
      const what = i < inputs.length ? `input ${i}` : 'the result';
      if (versionOf(x.hold.memory) !== versions[i])
        throw new BaxError(
          `grad: ${what} of ${op.name} ${showShape(x.shape)} was changed in place after it was used`,
        );
    });
    if (outputs.some((y, i) => i > 0 && gradients.has(y)))
      throw new BaxError(`grad: ${op.name} can be differentiated through its first result alone`);
    let memo: { value: unknown } | undefined;
    const found: [Tensor, Tensor][] = [];
    inputs.forEach((x, index) => {
      if (!leads.has(x)) return;
      const rule = (typeof op.vjp === 'function' ? op.vjp : op.vjp?.[index]) as Vjp<unknown> | undefined;
      if (!rule)
        throw new BaxError(
          `grad: ${op.name} has no gradient rule for input ${index}; give it a vjp, or say that it is discrete`,
        );
      const g = gradients.get(outputs[0]!) ?? filled(outputs[0]!, 0);
      const shared: Cotangent<unknown>['shared'] = (make) =>
        (memo ??= { value: make() }).value as ReturnType<typeof make>;
      const gx = rule({ g, x: inputs, y: outputs[0]!, ys: outputs, attrs, index, shared });
      if (gx) found.push([x, unbroadcast(gx, x, `${op.name}: the gradient of input ${index}`)]);
    });
    if (!known) return found;
    // Each gradient is owned once, so that it can be freed: a rule may hand on g itself, or one tensor for two inputs.
    const seen = new Set<Tensor>([...inputs, ...outputs]);
    return found.map(([x, g]) => {
      const mine = known.has(g) || seen.has(g) || g.kept ? alias(g) : g;
      seen.add(mine);
      return [x, mine];
    });
  };
  return within(path, () => composite(rules)); // what fails or is profiled here belongs to the module that ran forward
}

/** 0 or 1 in the shape of x, without memory of its own. */
const filled = (x: Tensor, value: 0 | 1): Tensor => expand(constantLike(x, value), x.shape);

/** Sums a gradient over the axes along which x was broadcast, in x's dtype. The only place where this happens. */
function unbroadcast(wide: Tensor, x: Tensor, what: string): Tensor {
  const g = cast(wide, x.dtype);
  if (sameShape(g.shape, x.shape)) return g;
  const lead = g.rank - x.rank;
  const fits = lead >= 0 && x.shape.every((length, i) => length === 1 || length === g.shape[lead + i]);
  if (!fits)
    throw new BaxError(
      `${what} is ${showShape(g.shape)}, which no broadcast makes of its shape ${showShape(x.shape)}`,
    );
  const axes = g.shape.flatMap((length, i) =>
    i < lead || (x.shape[i - lead] === 1 && length !== 1) ? [i] : [],
  );
  return reshape(axes.length > 0 ? sum(g, axes) : g, x.shape);
}

/**
 * Runs `f` in a scope with the gradients of `params` wanted, and gives its loss with ∂loss/∂p for each p; everything
 * else that `f` made is freed.
 */
export function valueAndGrad(
  f: () => Tensor,
  params: readonly Tensor[],
  options: Omit<GradOptions, 'createGraph' | 'retain'> = {},
): { value: Tensor; grads: Tensor[] } {
  const before = params.map((p) => p.requiresGrad);
  return scope(() => {
    try {
      for (const p of params) p.requiresGrad = true;
      const loss = f();
      if (!isTensor(loss))
        throw new BaxError(
          'valueAndGrad: the function must return a tensor, at once; a Promise comes too late',
        );
      const grads = grad(loss, params, options);
      return { value: loss.record ? alias(loss) : loss, grads };
    } finally {
      params.forEach((p, i) => (p.requiresGrad = before[i]!));
    }
  });
}

/** Adds ∂loss/∂p to `p.grad` for every tensor with requiresGrad that the loss depends on. See `Tensor.backward`. */
export function backward(loss: Tensor, options: GradOptions = {}): void {
  const leaves = new Set(tapeOf(loss).flatMap((record) => record.inputs.filter((x) => x.requiresGrad)));
  const params = [...leaves];
  const grads = grad(loss, params, { ...options, allowUnused: true });
  params.forEach((p, i) => {
    const before = p.grad;
    p.grad = before ? noGrad(() => add(before, grads[i]!)) : grads[i]!;
    p.grad.kept = true;
    before?.dispose();
    if (before) grads[i]!.dispose();
  });
}
