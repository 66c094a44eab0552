import { BaxError } from './errors.ts';

/** What a scope owns: a tensor, of which it knows no more. */
interface Owned {
  readonly kept: boolean;
  readonly taped: boolean;
  readonly record: object | undefined;
  requiresGrad: boolean;
  tapeOwned: boolean;
  dispose(reason: string): void;
}

const open: Set<Owned>[] = [];
const ENDED = 'when its scope ended; return it from scope() or keep() it';

/** Called by each new tensor: the innermost open scope owns it. */
export const enroll = (t: Owned): void => void open.at(-1)?.add(t);

/**
 * Runs `f` and frees every tensor that it made, but those it returns (alone, or inside arrays and plain objects) and
 * those it `keep`s. Scopes nest: what one returns belongs to the scope around it. If `f` throws, all are freed.
 * @throws if `f` returns a Promise, or a tensor that still has its tape (which needs what the scope would free).
 */
export function scope<T>(f: () => T): T {
  return run(f, false).result;
}

/** `scope`, and which tensors `f` made, freed ones among them. */
export const scopeAndMade = <T>(f: () => T): { result: T; made: ReadonlySet<object> } => run(f, false);

/** A function that is made of several ops: what they made on the way is freed, but for what a tape needs. */
export function composite<T>(f: () => T): T {
  return run(f, true).result;
}

function run<T>(f: () => T, tapes: boolean): { result: T; made: ReadonlySet<Owned> } {
  const mine = new Set<Owned>();
  open.push(mine);
  let result: T;
  const out = new Set<Owned>();
  try {
    result = f();
    if (typeof (result as { then?: unknown } | undefined)?.then === 'function')
      throw new BaxError(
        'scope: a scope is synchronous; await outside of it and open one around each synchronous part',
      );
    collect(result, out);
    if (!tapes)
      for (const t of out)
        if (t.record && mine.has(t))
          throw new BaxError(
            'scope: a returned tensor still has its tape; call grad inside the scope, or return detach(x)',
          );
  } catch (error) {
    open.pop();
    for (const t of mine) if (!t.kept) t.dispose(ENDED);
    throw error;
  }
  open.pop();
  const parent = open.at(-1);
  for (const t of mine) {
    if (t.kept) continue;
    // A constant that a composite made for its tape: nobody else knows it, so it goes when the tape does.
    if (tapes && t.taped && !out.has(t) && !t.record && !t.requiresGrad) t.tapeOwned = true;
    if (out.has(t) || (tapes && t.taped)) parent?.add(t);
    else t.dispose(ENDED);
  }
  return { result, made: mine };
}

const isTensorLike = (x: object): x is Owned & object => Symbol.for('bax.tensor') in x;

/** The tensors of what a function returned: alone, or inside arrays, maps and plain objects. */
export function tensorsIn(value: unknown): object[] {
  const out = new Set<Owned>();
  collect(value, out);
  return [...out];
}

function collect(value: unknown, out: Set<Owned>): void {
  if (typeof value !== 'object' || value === null) return;
  if (isTensorLike(value)) out.add(value);
  else if (Array.isArray(value)) for (const item of value) collect(item, out);
  else if (value instanceof Map) for (const item of value.values()) collect(item, out);
  else if (Object.getPrototypeOf(value) === Object.prototype)
    for (const item of Object.values(value)) collect(item, out);
}
