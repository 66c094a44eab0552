/** Proves an op, of the library or of one's own: every law that the library's own ops are under. */
import { type Backend, BaxError, type Op } from '@bax/core';
import { assertPassed, type Check, type CheckOptions, type Report, runChecks } from '../run.ts';
import { exactDifferences, realNumbers, smallNumbers } from './backends.ts';
import { reference } from './calls.ts';
import { type Domain, functionOp, type TensorFunction } from './function-op.ts';
import { gradient, gradientOfViews, ruleIsDerived, secondGradient } from './gradient.ts';
import { type Bench, opCheck, type OpLaw } from './law.ts';
import { gradientsAlone, resultAlone, scopeLeaks } from './memory.ts';
import { purity, twice } from './purity.ts';
import { fusedIsComposed, shapeRule, tape } from './shape.ts';
import { realViews, storage, views } from './views.ts';

/** Every law of an op, the plainest first. */
export const opLaws: readonly OpLaw[] = [
  shapeRule, fusedIsComposed, tape, purity, views, realViews, storage, gradient, gradientOfViews, secondGradient, ruleIsDerived,
  exactDifferences, twice, scopeLeaks, resultAlone, gradientsAlone, smallNumbers, realNumbers,
]; // prettier-ignore

export interface OpOptions extends CheckOptions, Omit<Bench, 'backend'> {
  /** Where it is tried; each is compared with the cpu. Default: the cpu alone. */
  readonly backends?: readonly Backend[];
  /** Also the gradients of its gradients. Default false. */
  readonly second?: boolean;
  /** The op is linear in each argument, with whole coefficients: its gradients are tried in whole numbers, too. Default false. */
  readonly linear?: boolean;
}
export interface FunctionOptions extends OpOptions {
  /** Draws the inputs of valid calls: `(draw) => [{ shape: draw.shape() }]`. */
  readonly domain: Domain;
  /** How messages call it. Default: the function's name. */
  readonly name?: string;
}

export interface OpReport extends Report {
  readonly op: string;
}

/**
 * Proves an op on random calls from its `domain`, or a plain function of tensors on those that `options.domain` draws: its
 * shape rule; its gradient against central differences in f64; views as their copies; inputs untouched; nothing leaked; each
 * backend as the cpu; a fused kernel as the composition. It throws with the first law that does not hold, on the smallest
 * call on which it does not.
 * @throws CheckError if a law does not hold, BaxError if nothing can be drawn.
 */
export async function checkOp(op: Op, options?: OpOptions): Promise<OpReport>;
export async function checkOp(f: TensorFunction, options: FunctionOptions): Promise<OpReport>;
export async function checkOp(
  subject: Op | TensorFunction,
  options: OpOptions & Partial<FunctionOptions> = {},
): Promise<OpReport> {
  const op = typeof subject === 'function' ? fromFunction(subject, options) : subject;
  if (typeof op.domain !== 'function')
    throw new BaxError(`checkOp: ${op.name} has no domain, so no call of it can be drawn; write domain: (draw) => ({ inputs: [{ shape: draw.shape() }], attrs: {} })`); // prettier-ignore
  const { checks, leftOut } = chosenChecks(op, options);
  return { op: op.name, ...assertPassed(await runChecks(`checkOp(${op.name})`, checks, op, options, leftOut)) }; // prettier-ignore
}

function fromFunction(f: TensorFunction, { domain, name }: Partial<FunctionOptions>): Op {
  const called = name ?? (f.name || 'f');
  if (!domain)
    throw new BaxError(`checkOp: ${called} needs a domain to draw its inputs from; pass { domain: (draw) => [{ shape: draw.shape() }] }`); // prettier-ignore
  return functionOp(f, called, domain);
}

function chosenChecks(op: Op, options: OpOptions): { checks: Check<Op>[]; leftOut: string[] } {
  const { backends = [reference()], second = false, linear = false, only } = options;
  const checks: Check<Op>[] = [];
  const leftOut: string[] = [];
  for (const backend of backends)
    for (const law of opLaws) {
      const named = `${law.name} on ${backend.name}`;
      const asked = (law !== secondGradient || second || only === named) && (law !== exactDifferences || linear || only === named); // prettier-ignore
      const why = asked ? law.leftOut?.(op, backend) : 'not asked for';
      if (why === undefined)
        checks.push(opCheck(law, { ...strictness(options), backend }, again(op, options))); // prettier-ignore
      else leftOut.push(`${named}: ${why}`);
    }
  return { checks, leftOut };
}

const strictness = ({ exact, tolerance }: OpOptions): Omit<Bench, 'backend'> => ({
  ...(exact === undefined ? {} : { exact }),
  ...(tolerance === undefined ? {} : { tolerance }),
});

/** The call, with those options that a law may need. */
function again(op: Op, options: OpOptions & Partial<FunctionOptions>): string {
  const names = (['domain', 'backends'] as const).filter((name) => options[name] !== undefined);
  const values = Object.entries(strictness(options)).map(([name, value]) => `${name}: ${value}`);
  return `await checkOp(${op.name}, { ${[...names, ...values].map((text) => `${text}, `).join('')}`;
}
