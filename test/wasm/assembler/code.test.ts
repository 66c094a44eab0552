import { describe, expect, it } from 'vitest';
import {
  assemble, block, branch, branchIf, call, type Code, Func, i32, Import, loop, repeatWhile, when,
} from '../../../packages/wasm/src/assembler/index.ts'; // prettier-ignore
import { instructionsOf } from '../support/disassemble.ts';

type Write = (f: Func) => Code;

/** The function that `write` makes, run by the engine. Its result is that of its code. */
function compiled(
  write: Write,
  host: WebAssembly.ModuleImports = {},
  imports: Import[] = [],
  more: Func[] = [],
) {
  const f = new Func('run', 'i32');
  f.body = write(f);
  const bytes = assemble({ sharedMemory: false, imports, functions: [f, ...more] });
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { host: { memory, ...host } });
  return { run: exports.run as (...args: number[]) => number, read: instructionsOf(bytes), memory };
}

describe('expressions', () => {
  it('operands come before what uses them', () => {
    const { run, read } = compiled((f) => {
      const [x, y] = [f.param('x'), f.param('y')];
      return i32.sub(i32.mul(x, i32.const(3)), i32.add(y, i32.const(1)));
    });
    expect(read).toEqual([
      'local.get 0', 'i32.const 3', 'i32.mul', 'local.get 1', 'i32.const 1', 'i32.add', 'i32.sub',
    ]); // prettier-ignore
    expect(run(10, 4)).toBe(25);
  });

  it('a local is its value, set and tee write it; parameters come first, then locals of any type', () => {
    const { run, read } = compiled((f) => {
      const x = f.param('x');
      const [a, wide, b] = [f.local('a'), f.local('wide', 'f64'), f.local('b')];
      expect([x.index, a.index, wide.index, b.index]).toEqual([0, 1, 2, 3]);
      expect([wide.name, wide.type, f.params]).toEqual(['wide', 'f64', ['i32']]);
      return [a.set(i32.add(x, i32.const(1))), i32.mul(b.tee(i32.mul(a, a)), i32.sub(b, x))];
    });
    expect(read.filter((line) => line.startsWith('local.'))).toEqual([
      'local.get 0', 'local.set 1', 'local.get 1', 'local.get 1', 'local.tee 3', 'local.get 3', 'local.get 0',
    ]); // prettier-ignore
    expect(run(2)).toBe(9 * (9 - 2));
  });

  it('more locals than one byte counts', () => {
    const { run } = compiled((f) => {
      const locals = Array.from({ length: 300 }, (_, i) => f.local(`l${i}`));
      return [
        locals.map((l, i) => l.set(i === 0 ? i32.const(1) : i32.add(locals[i - 1], i32.const(1)))),
        locals[299],
      ];
    });
    expect(run()).toBe(300);
  });
});

describe('structures', () => {
  it('when: with and without another way', () => {
    const { run } = compiled((f) => {
      const [x, y] = [f.param('x'), f.local('y')];
      return [
        when(i32.lt_s(x, i32.const(0)), y.set(i32.const(-1)), y.set(i32.const(1))),
        when(i32.eqz(x), y.set(i32.const(7))),
        y,
      ];
    });
    expect([-5, 0, 5].map((x) => run(x))).toEqual([-1, 7, 1]);
  });

  it('loop: from, below to, by steps; not at all where from is not below to; unsigned', () => {
    const { run } = compiled((f) => {
      const [from, to, step] = [f.param('from'), f.param('to'), f.param('step')];
      const [i, count] = [f.local('i'), f.local('count')];
      return [
        loop(i, from, to, step, count.set(i32.add(count, i32.const(1)))),
        i32.add(i32.mul(count, i32.const(1000)), i),
      ];
    });
    const by = (from: number, to: number, step: number): number[] => {
      const r = run(from, to, step);
      return [Math.floor(r / 1000), r % 1000];
    };
    expect(by(0, 10, 1)).toEqual([10, 10]);
    expect(by(2, 11, 3)).toEqual([3, 11]);
    expect(by(2, 12, 3)).toEqual([4, 14]);
    expect(by(4, 4, 1)).toEqual([0, 4]);
    expect(by(5, 4, 1)).toEqual([0, 5]);
    expect(run(5, -(2 ** 30), 2 ** 30)).toBe((3000 + 5 + 3 * 2 ** 30) | 0); // −2^30 is 3 · 2^30
  });

  it('repeatWhile: once at least', () => {
    const { run } = compiled((f) => {
      const [x, count] = [f.param('x'), f.local('count')];
      return [
        repeatWhile(
          [count.set(i32.add(count, i32.const(1))), x.set(i32.sub(x, i32.const(1)))],
          i32.gt_s(x, i32.const(0)),
        ),
        count,
      ];
    });
    expect([-3, 0, 1, 2, 5].map((x) => run(x))).toEqual([1, 1, 1, 2, 5]);
  });

  it('branches count the structures between them and what they leave', () => {
    const { run, read } = compiled((f) => {
      const [x, y] = [f.param('x'), f.local('y')];
      const add = (n: number) => y.set(i32.add(y, i32.const(n)));
      return [
        block((outer) => [
          block((inner) => [
            branchIf(i32.eq(x, i32.const(0)), outer),
            branchIf(i32.eq(x, i32.const(1)), inner),
            when(i32.eq(x, i32.const(2)), [add(100), branch(outer)], [add(200), branch(inner)]),
            add(1000),
          ]),
          add(10),
        ]),
        add(1),
        y,
      ];
    });
    expect(read.filter((line) => line.startsWith('br'))).toEqual(['br_if 1', 'br_if 0', 'br 2', 'br 1']);
    expect([0, 1, 2, 3].map((x) => run(x))).toEqual([1, 11, 101, 211]);
  });

  it('one piece of code may stand in several places', () => {
    const { run } = compiled((f) => {
      const [x, y] = [f.param('x'), f.local('y')];
      const skipIfZero = block((end) => [branchIf(i32.eqz(x), end), y.set(i32.add(y, i32.const(5)))]);
      return [skipIfZero, when(x, skipIfZero), block(() => block(() => skipIfZero)), y];
    });
    expect([run(0), run(1)]).toEqual([0, 15]);
  });
});

describe('calls', () => {
  it('of the host and of functions of the module, wherever they stand in it', () => {
    const hostMul = new Import('mul', ['i32', 'i32'], 'i32');
    const told = new Import('tell', ['f64']);
    const square = new Func('square', 'i32');
    const x = square.param('x');
    square.body = call(hostMul, x, x);
    const heard: number[] = [];
    const { run } = compiled(
      (f) => {
        const y = f.param('y');
        return [
          call(told, [0x44, ...new Uint8Array(Float64Array.of(2.5).buffer)]),
          i32.add(call(square, y), call(square, i32.const(1))),
        ];
      },
      { mul: (a: number, b: number) => a * b, tell: (v: number) => void heard.push(v) },
      [hostMul, told],
      [square],
    );
    expect(run(6)).toBe(37);
    expect(heard).toEqual([2.5]);
  });
});

describe('mistakes', () => {
  const attempt = (write: Write) => () => compiled(write);
  it('a branch out of a structure that it is not in', () => {
    const escape: Write = () => {
      let label: Parameters<typeof branch>[0] | undefined;
      const first = block((end) => ((label = end), []));
      return [first, branch(label!), i32.const(0)];
    };
    expect(attempt(escape)).toThrow(new Error('wasm: a branch leaves a structure that it is not in'));
  });
  it('a function that is not in the module', () => {
    expect(attempt(() => call(new Func('lost', 'i32')))).toThrow(
      new Error('wasm: lost is called but is not in the module'),
    );
    expect(attempt(() => call(new Import('exp', [], 'i32')))).toThrow(
      new Error('wasm: exp is called but is not in the module'),
    );
  });
  it('a parameter after a local', () => {
    expect(attempt((f) => [f.local('i'), f.param('x')])).toThrow(
      new Error('wasm: parameter x of run comes after a local'),
    );
  });
});
