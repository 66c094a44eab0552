import { constantLike } from './create.ts';
import { BaxError } from './errors.ts';
import { tapeOf } from './explain.ts';
import { type Cotangent, noGrad, type TapeRecord, type Vjp } from './op.ts';
import { add, cast } from './ops/elementwise.ts';
import { sum } from './ops/reduce.ts';
import { expand, reshape } from './ops/view.ts';
import { run, scope } from './scope.ts';
import { sameShape, showShape } from './shape.ts';
import { alias, type Tensor } from './tensor.ts';

export interface GradOptions {
  /** Keep the tape and the activations, so that `grad` can be called again. */
  readonly retain?: boolean;
  /** Record the backward walk, so that gradients can be differentiated. Implies `retain`. */
  readonly createGraph?: boolean;
  /** ∂L/∂loss, of loss's shape, for a `loss` that is not a scalar. Default 1. */
  readonly cotangent?: Tensor;
  /** Give zeros for a parameter that does not influence the loss, instead of an error. */
  readonly allowUnused?: boolean;
}

const CONSUMED = 'by grad() after its last use; keep() it before, or pass { retain: true }';

/**
 * ∂loss/∂p for each p of `params`, of p's shape. Visits only what lies between the loss and the params, from the last
 * call to the first. Consumes the tape: each activation is freed after its last use.
 * @throws if loss is not a scalar and no cotangent is given, if the tape is gone, if a recorded input was changed in
 * place since, or if a param does not influence the loss.
 */
export function grad(loss: Tensor, params: readonly Tensor[], options: GradOptions = {}): Tensor[] {
  loss.check('grad');
  if (loss.size !== 1 && !options.cotangent)
    throw new BaxError(`grad: the loss must be a scalar, this one is ${showShape(loss.shape)}; reduce it with mean() or sum(), or pass { cotangent }`);
  if (options.cotangent && !sameShape(options.cotangent.shape, loss.shape))
    throw new BaxError(`grad: the cotangent is ${showShape(options.cotangent.shape)}, the loss ${showShape(loss.shape)}`);
  if (!loss.record && !params.includes(loss)) throw new BaxError(`grad: this loss has no tape: no input of it has requiresGrad, or an earlier grad() consumed it (pass { retain: true } there)`);
  const wanted = new Set(params);
  return run(() => (options.createGraph ? walk(loss, wanted, params, options) : noGrad(() => walk(loss, wanted, params, options))), true);
}

/** The records between the loss and the wanted tensors, in the order in which they were made. */
function between(loss: Tensor, wanted: ReadonlySet<Tensor>): { records: TapeRecord[]; leads: Set<Tensor> } {
  const leads = new Set(wanted);
  const records = tapeOf(loss).filter((record) => {
    const leading = record.inputs.some((x) => leads.has(x));
    if (leading) for (const y of record.outputs) leads.add(y);
    return leading;
  });
  return { records, leads };
}

function walk(loss: Tensor, wanted: ReadonlySet<Tensor>, params: readonly Tensor[], options: GradOptions): Tensor[] {
  const { records, leads } = between(loss, wanted);
  const consume = !options.retain && !options.createGraph;
  const gradients = new Map<Tensor, Tensor>([[loss, alias(options.cotangent ?? filled(loss, 1))]]);
  const accumulate = (x: Tensor, g: Tensor): void => {
    const sofar = gradients.get(x);
    gradients.set(x, sofar ? add(sofar, g) : g);
    if (sofar && !options.createGraph) [sofar, g].forEach((t) => t.dispose());
  };
  for (const record of records.reverse()) {
    if (record.outputs.some((y) => gradients.has(y)))
      for (const [x, g] of backwardOf(record, gradients, leads, options.createGraph ?? false)) accumulate(x, g);
    for (const y of record.outputs) {
      if (!wanted.has(y)) {
        if (!options.createGraph) gradients.get(y)?.dispose();
        gradients.delete(y);
      }
      if (!consume) continue;
      y.record = undefined;
      if (y !== loss && !y.kept && !wanted.has(y)) y.dispose(CONSUMED);
    }
  }
  return params.map((p, i) => {
    const g = gradients.get(p);
    if (g) return params.indexOf(p) < i && !options.createGraph ? alias(g) : g;
    if (options.allowUnused) return alias(filled(p, 0));
    throw new BaxError(`grad: params[${i}] ${showShape(p.shape)} does not influence the loss; leave it out, or pass { allowUnused: true } for zeros`);
  });
}

/** The gradients that one record passes to those of its inputs that lead to a wanted tensor. */
function backwardOf(record: TapeRecord, gradients: ReadonlyMap<Tensor, Tensor>, leads: ReadonlySet<Tensor>, taped: boolean): [Tensor, Tensor][] {
  const { op, inputs, outputs, attrs } = record;
  const rules = (): [Tensor, Tensor][] => {
    let memo: { value: unknown } | undefined;
    const found: [Tensor, Tensor][] = [];
    inputs.forEach((x, index) => {
      if (!leads.has(x)) return;
      if (x.hold.memory.version !== record.versions[index])
        throw new BaxError(`grad: input ${index} of ${op.name} ${showShape(x.shape)} was changed in place after it was used${record.path && `\n  at ${record.path}`}`);
      const rule = (typeof op.vjp === 'function' ? op.vjp : op.vjp![index]!) as Vjp<unknown>;
      const g = gradients.get(outputs[0]!) ?? filled(outputs[0]!, 0);
      const shared: Cotangent<unknown>['shared'] = (make) => (memo ??= { value: make() }).value as ReturnType<typeof make>;
      const gx = rule({ g, x: inputs, y: outputs[0]!, ys: outputs, attrs, index, shared });
      if (gx) found.push([x, unbroadcast(gx, x)]);
    });
    if (taped) return found;
    // Each gradient is owned once, so that it can be freed: a rule may hand on g itself, or one tensor for two inputs.
    const seen = new Set<Tensor>([...gradients.values(), ...inputs, ...outputs]);
    return found.map(([x, g]) => {
      const mine = seen.has(g) || g.kept ? alias(g) : g;
      seen.add(mine);
      return [x, mine];
    });
  };
  return taped ? rules() : run(rules, true);
}

/** 0 or 1 in the shape of x, without memory of its own. */
const filled = (x: Tensor, value: 0 | 1): Tensor => expand(constantLike(x, value), x.shape);

/** Sums a gradient over the axes along which x was broadcast, in x's dtype. The only place where this happens. */
function unbroadcast(wide: Tensor, x: Tensor): Tensor {
  const g = cast(wide, x.dtype);
  if (sameShape(g.shape, x.shape)) return g;
  const lead = g.rank - x.rank;
  const axes = g.shape.flatMap((length, i) => (i < lead || (x.shape[i - lead] === 1 && length !== 1) ? [i] : []));
  return reshape(axes.length > 0 ? sum(g, axes) : g, x.shape);
}

/**
 * Runs `f` in a scope with the gradients of `params` wanted, and gives its loss with ∂loss/∂p for each p; everything
 * else that `f` made is freed.
 */
export function valueAndGrad(f: () => Tensor, params: readonly Tensor[], options: GradOptions = {}): { value: Tensor; grads: Tensor[] } {
  const before = params.map((p) => p.requiresGrad);
  return scope(() => {
    for (const p of params) p.requiresGrad = true;
    try {
      const loss = f();
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
