/**
 * A kernel is one exported function, `run(args, from, to, scratch)`: it reads its arguments from a block of memory and
 * does the units of work from `from` to `to`. Which thread does which units makes no difference to the bits. `scratch`
 * is memory of the thread's own.
 */
import { assemble, type Code, f32, f32x4, f64, Func, i32, Import, type Local } from '../assembler/index.ts';

/** What kernels are written for. */
export interface Target {
  /** The engine has fused multiply-add: f32x4.relaxed_madd. */
  readonly fma: boolean;
  /** The memory is shared between threads. */
  readonly sharedMemory: boolean;
}

export type ArgType = 'i32' | 'f32' | 'f64';
/** Each argument has a slot of so many bytes, whatever its type. */
export const SLOT = 8;

export interface Kernel {
  readonly name: string;
  readonly args: readonly ArgType[];
  bytes(target: Target): Uint8Array<ArrayBuffer>;
}

export interface Frame<A extends string> {
  readonly target: Target;
  readonly f: Func;
  /** The arguments' values, read when the kernel starts. */
  readonly args: Readonly<Record<A, Local>>;
  readonly from: Local;
  readonly to: Local;
  readonly scratch: Local;
  /** Puts what the body calls into the module. */
  readonly use: (...callees: readonly (Func | Import)[]) => void;
}

const read = { i32: i32.load, f32: f32.load, f64: f64.load };

export function defineKernel<A extends string>(
  name: string,
  args: Readonly<Record<A, ArgType>>,
  write: (frame: Frame<A>) => Code,
): Kernel {
  const entries = Object.entries(args) as [A, ArgType][];
  const bytes = (target: Target): Uint8Array<ArrayBuffer> => {
    const f = new Func('run');
    const [block, from, to, scratch] = f.parameters('args', 'from', 'to', 'scratch');
    const locals = entries.map(([name, type]) => f.local(name, type));
    const reading = locals.map((local, i) => local.set(read[entries[i][1]](block, i * SLOT)));
    const callees: (Func | Import)[] = [];
    const body = write({
      target,
      f,
      args: Object.fromEntries(entries.map(([name], i) => [name, locals[i]])) as Record<A, Local>,
      from,
      to,
      scratch,
      use: (...more) => void callees.push(...more),
    });
    f.body = [reading, body];
    return assemble({
      sharedMemory: target.sharedMemory,
      imports: callees.filter((c) => c instanceof Import),
      functions: [f, ...callees.filter((c) => c instanceof Func)],
    });
  };
  return { name, args: entries.map(([, type]) => type), bytes };
}

/** a · b + c, rounded once where the target can, else twice. */
export const multiplyAdd = ({ fma }: Target, a: Code, b: Code, c: Code): Code =>
  fma ? f32x4.relaxed_madd(a, b, c) : f32x4.add(f32x4.mul(a, b), c);
