import { operations, CheckError, type Operation, type Operations } from '@bax/check';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

/** A stack; one of them forgets what lies below its third element. */
class Stack {
  items: number[] = [];
  readonly most: number;
  constructor(most = Infinity) {
    this.most = most;
  }
  push(n: number): void {
    this.items = [...this.items, n].slice(-this.most);
  }
}
const table = {
  push: {
    draw: fc.nat(9),
    run(model: number[], real: Stack, n: number) {
      model.push(n);
      real.push(n);
    },
  },
  pop: {
    when: (model: number[]) => model.length > 0,
    run(model: number[], real: Stack) {
      expect(real.items.pop()).toBe(model.pop());
    },
  },
  look: {
    run: (model: number[], real: Stack) => expect(real.items).toHaveLength(model.length),
  },
} satisfies Record<string, Operation<number[], Stack, number>>;

const check = async (most?: number): Promise<fc.RunDetails<[Operations<number[], Stack>]>> =>
  fc.check(
    fc.asyncProperty(operations<number[], Stack>(table), async (sequence) =>
      sequence.run([], new Stack(most)),
    ),
    { seed: 3 },
  );

describe('operations', () => {
  it('run on the model and the real thing alike', async () => {
    expect(await check()).toMatchObject({ failed: false });
  });

  it('shrink to the fewest operations and the smallest arguments', async () => {
    const { counterexample, errorInstance } = await check(3);
    expect(fc.stringify(counterexample![0])).toBe('push(0), push(0), push(0), push(0), look()');
    expect(errorInstance).toBeInstanceOf(CheckError);
    expect((errorInstance as Error).message).toMatch(/^operation 5, look\(\): .*expected \[ \+0, \+0, \+0 \] to have a length of 4/); // prettier-ignore
  });

  it('leave out what cannot be done, and do not show it', async () => {
    const only = { pop: table.pop };
    for (const sequence of fc.sample(operations<number[], Stack>(only), { numRuns: 5, seed: 1 })) {
      await sequence.run([], new Stack());
      expect(String(sequence)).toBe('no operation');
    }
  });

  it('are as long as is asked for, and no longer', () => {
    const lengths = fc.sample(operations<number[], Stack>(table, { most: 5 }), { numRuns: 200, seed: 1 }).map((s) => (String(s).match(/\(/g) ?? []).length); // prettier-ignore
    expect([Math.min(...lengths), Math.max(...lengths)]).toEqual([0, 5]);
  });

  it('let a precondition pass', async () => {
    const never: Record<string, Operation<object, object>> = { never: { run: () => fc.pre(false) } };
    const details = await fc.check(fc.asyncProperty(operations(never), async (s) => s.run({}, {})), { seed: 1 }); // prettier-ignore
    expect(details.numSkips).toBeGreaterThan(0);
  });
});
