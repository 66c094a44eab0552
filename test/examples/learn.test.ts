/** The lessons, run as their readers run them: what they print is what they claim, by other ways than theirs. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { key, normals } from '@bax/core';
import { describe, expect, it } from 'vitest';
import { node, ROOT, start, type Ended } from './support.ts';

const FOLDER = join(ROOT, 'examples/learn');
const LESSONS = readdirSync(FOLDER).filter((name) => /^\d/.test(name)).sort(); // prettier-ignore
const source = (n: number): string => readFileSync(join(FOLDER, LESSONS[n - 1]), 'utf8');

const learn = (...args: string[]): Promise<Ended> => start(node('examples/learn/index.ts', ...args)).ended;
const runs = new Map<number, Promise<Ended>>();
/** What a lesson prints; each is run once. */
async function lesson(n: number): Promise<string> {
  if (!runs.has(n)) runs.set(n, learn(String(n)));
  const { code, stdout, stderr } = await runs.get(n)!;
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout;
}

/** The numbers at each # of a pattern, wherever the text has it. */
function every(text: string, pattern: string): number[][] {
  const plain = pattern.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll(/ +/g, ' +');
  const found = text.matchAll(
    new RegExp(plain.replaceAll('#', '(-?\\d[\\d,]*(?:\\.\\d+)?(?:e[+-]\\d+)?)'), 'g'),
  );
  return [...found].map((match) => match.slice(1).map((digits) => Number(digits.replaceAll(',', ''))));
}
/** Of a pattern that the text has once. */
function read(text: string, pattern: string): number[] {
  const found = every(text, pattern);
  expect(found, `'${pattern}' in\n${text}`).toHaveLength(1);
  return found[0];
}
/** A sum over 0 … n − 1. */
const sum = (n: number, f: (i: number) => number): number => Array.from({ length: n }, (_, i) => f(i)).reduce((a, b) => a + b, 0); // prettier-ignore
const mean = (values: readonly number[]): number => sum(values.length, (i) => values[i]) / values.length;
/** What `randn` draws. */
const random = (seed: number, rows: number, columns: number, std = 1): number[][] => {
  const flat = normals(key(seed), rows * columns);
  return Array.from({ length: rows }, (_, i) =>
    Array.from({ length: columns }, (_, j) => std * flat[i * columns + j]),
  );
};
const falling = (values: readonly number[]): boolean => values.every((v, i) => i === 0 || v < values[i - 1]);

describe('the way to them', () => {
  it('lists them without a number', async () => {
    const { code, stdout } = await learn();
    expect(code).toBe(0);
    LESSONS.forEach((_, i) => expect(stdout).toContain(/^ \* (Lesson \d: .+)$/m.exec(source(i + 1))![1]));
    expect(stdout.match(/^Lesson (\d)/gm)).toEqual(LESSONS.map((_, i) => `Lesson ${i + 1}`));
  });

  it('takes 01 for 1, and refuses what there is not', async () => {
    expect((await learn('01')).stdout).toBe(await lesson(1));
    const wrong = await Promise.all(['9', '0', 'four', ''].map((arg) => learn(arg)));
    for (const [i, arg] of ['9', '0', 'four', ''].entries())
      expect(wrong[i]).toMatchObject({ code: 1, stdout: '', stderr: `learn: there is no lesson '${arg}'; there are 1 to ${LESSONS.length}\n` }); // prettier-ignore
  });

  it('is the script of that name', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    expect(scripts.learn).toBe('tsx --conditions source examples/learn/index.ts');
  });

  it('has a table in the README that names each file, once and in order', () => {
    const text = readFileSync(join(FOLDER, 'README.md'), 'utf8');
    expect(
      [...text.matchAll(/^\| \[`(.+?)`\]\((.+?)\) \| .+ \| \d+ s \|$/gm)].map((row) => row.slice(1)),
    ).toEqual(LESSONS.map((name) => [name, name]));
    for (const [, to] of text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g))
      expect(existsSync(join(FOLDER, to)), to).toBe(true);
  });

  it.each(LESSONS)(
    '%s opens with its number, uses what an app could, and ends with something to try',
    (name) => {
      const n = Number(name.slice(0, 2));
      const text = source(n);
      expect(text).toMatch(
        new RegExp(`^/\\*\\*\n \\* Lesson ${n}: .+\n \\*\n[^]+\n \\*     npm run learn -- ${n}\n \\*/\n`),
      );
      expect(text).toMatch(/\n\/\/ Try\n\/\/\n(\/\/ .+\n)+$/);
      const others = [...text.matchAll(/ from '([^']+)'/g)].map(([, from]) => from);
      const open = [
        'bax',
        'bax/node',
        '@bax/core',
        '@bax/cpu',
        '@bax/check',
        'node:url',
        '../finetune/corpora.ts',
      ];
      expect(open).toEqual(expect.arrayContaining(others));
    },
  );
});

it('1: the slopes are those of the closed form, and lead to the thermometer', async () => {
  const out = await lesson(1);
  const [x, t] = [[0, 1, 2, 3], [3.2, 5, 6.8, 8.6]]; // prettier-ignore
  const [xx, xt, tt] = [
    mean(x.map((v) => v * v)),
    mean(x.map((v, i) => v * t[i])),
    mean(t.map((v) => v * v)),
  ];
  const [w, b, loss] = read(out, 'at w = #, b = #: L = # (tens of °F)²');
  // (w x + b − t)² multiplied out, and differentiated as a polynomial in w and b
  expect(loss).toBeCloseTo(w * w * xx + b * b + tt + 2 * (w * b * mean(x) - w * xt - b * mean(t)), 4);
  const [slopeW, slopeB] = [2 * (w * xx + b * mean(x) - xt), 2 * (w * mean(x) + b - mean(t))];
  expect([slopeW < 0, slopeB < 0]).toEqual([true, true]);
  expect(read(out, '∂L/∂w = #: a little more w, and the loss falls')[0]).toBeCloseTo(slopeW, 4);
  expect(read(out, '∂L/∂b = #: a little more b, and the loss falls')[0]).toBeCloseTo(slopeB, 4);

  const tried = every(out, 'h = # D(h) = # off by #');
  expect(tried.map(([h]) => h)).toEqual([1, 1e-3, 1e-6, 1e-9, 1e-12]);
  for (const [, D, off] of tried) expect(Math.abs(Math.abs(D - slopeW) - off)).toBeLessThan(1e-6);
  expect(falling(tried.map(([, , off]) => -off))).toBe(true); // the smaller h, the worse
  expect(tried[0][2]).toBeLessThan(1e-12);

  const [baxW, baxB, apart] = read(out, "∂L/∂w = # ∂L/∂b = #: off the pencil's by #");
  expect(baxW).toBeCloseTo(slopeW, 4);
  expect(baxB).toBeCloseTo(slopeB, 4);
  expect(apart).toBeLessThan(1e-12);

  const steps = every(out, 'after # steps: L = #');
  expect(steps[0][1]).toBeCloseTo(loss, 0);
  expect(falling(steps.map(([, l]) => l))).toBe(true);
  expect(steps.at(-1)![1]).toBeLessThan(1e-6);
  expect(read(out, '°F = # · °C + #')).toEqual([1.8, 32]);
});

it('2: both tapes give the closed form, and only what is asked for is calculated', async () => {
  const out = await lesson(2);
  const [w, x, b] = [0.5, 2, -0.3];
  const u = Math.tanh(w * x + b);
  const slopes = { w: x * x * (1 - u * u), x: u + x * w * (1 - u * u), b: x * (1 - u * u) };
  const values: Record<string, readonly [number, number]> = {
    w: [w, slopes.w], x: [x, slopes.x], b: [b, slopes.b],
    'w x': [w * x, slopes.b], 'w x + b': [w * x + b, slopes.b], 'tanh(w x + b)': [u, x], 'x tanh(w x + b)': [x * u, 1],
  }; // prettier-ignore
  for (const [what, expected] of Object.entries(values)) {
    const found = read(out, `\n   ${what} = # slope #`);
    found.forEach((v, i) => expect(v).toBeCloseTo(expected[i], 4));
  }
  const [sw, sx, sb, apart] = read(out, 'slopes of w, x, b: #, #, #; off ours by #');
  [sw, sx, sb].forEach((v, i) => expect(v).toBeCloseTo(Object.values(slopes)[i], 4));
  expect(apart).toBeLessThan(1e-12);

  expect(out.match(/^ {3}%\d = (\w+)\(.*-> \[\]$/gm)).toHaveLength(4);
  expect(out).toMatch(/before grad: 4 steps, mul, add, tanh, mul\n +after it: +0\n +grad again: +grad: this loss has no tape/); // prettier-ignore
  const walks = [...out.matchAll(/back to (.+): (\d+) ops, (.+)/g)].map(([, to, n, ops]) => [to, Number(n), ops.split(', ').length]); // prettier-ignore
  expect(walks.map(([to]) => to)).toEqual(['w, x and b', 'b alone']);
  for (const [, n, listed] of walks) expect(n).toBe(listed);
  expect(walks[1][1]).toBeLessThan(walks[0][1] as number);
});

it('3: the rank is the number of examples, the network learns, and what is frozen costs nothing', async () => {
  const out = await lesson(3);
  expect(read(out, 'off our loops by #')[0]).toBeLessThan(1e-6);
  for (const of of ['W', 'b', 'x']) expect(read(out, `\n   ∂L/∂${of} #`)[0]).toBeLessThan(1e-6);
  const ranks = every(out, 'examples: #, numbers in ∂L/∂W: #, its rank: #');
  expect(ranks).toEqual([1, 2, 4, 8].map((n) => [n, 32 * 32, n]));

  const wanted = [0, 1, 1, 0];
  expect(read(out, 'wanted # # # #')).toEqual(wanted);
  const [first, last] = ['at the start', '400 steps on'].map((when) => read(out, `${when} # # # # loss #`));
  for (const row of [first, last])
    expect(row[4]).toBeCloseTo(mean(wanted.map((v, i) => (v - row[i]) ** 2)), 2);
  expect(first[4]).toBeGreaterThan(0.1);
  wanted.forEach((v, i) => expect(Math.abs(last[i] - v)).toBeLessThan(0.05));

  // two forward; back one for each W, and one that hands the slopes on to the first layer
  expect(read(out, 'both layers # numbers trained, # products there and back')).toEqual([
    8 * 2 + 8 + 8 + 1,
    5,
  ]);
  expect(read(out, 'the second alone # numbers trained, # products there and back')).toEqual([8 + 1, 3]);
});

describe('4', () => {
  it('is LoRA in 50 lines, without the nn package', () => {
    const code = source(4).replaceAll(/\/\*[^]*?\*\/|\/\/.*/g, '').split('\n'); // prettier-ignore
    expect(code.filter((line) => line.trim() !== '').length).toBeLessThanOrEqual(50);
    expect([...source(4).matchAll(/ from '(.+)'/g)].map(([, from]) => from)).toEqual([
      '@bax/core',
      '@bax/cpu',
    ]);
  });

  it('learns the task, leaves W alone, and is the same when merged', async () => {
    const out = await lesson(4);
    const [trained, ...shapes] = read(out, 'trained: # numbers, A [#, #] and B [#, #]');
    const [r, inputs, outputs, sameR] = shapes;
    expect(sameR).toBe(r);
    expect(trained).toBe(r * (inputs + outputs));
    expect(read(out, 'frozen: #, W [#, #]')).toEqual([inputs * outputs, outputs, inputs]);

    const losses = every(out, 'step #: loss #, on examples never seen #');
    expect(losses.map(([step]) => step)).toEqual([0, 100, 200, 300]);
    // B A = 0 at first: what is missing is the whole change, U V x
    const [U, V] = [random(2, outputs, 2, 0.3), random(3, 2, inputs, 0.3)];
    for (const [i, seed] of [4, 5].entries()) {
      const missing = random(seed, 64, inputs).map((x) => {
        const z = V.map((row) => sum(inputs, (j) => row[j] * x[j]));
        return sum(outputs, (o) => sum(2, (l) => U[o][l] * z[l]) ** 2) / outputs;
      });
      expect(losses[0][1 + i].toExponential(1)).toBe(mean(missing).toExponential(1));
    }
    for (const i of [1, 2]) {
      const all = losses.map((row) => row[i]);
      expect(falling(all)).toBe(true);
      expect(all[3]).toBeLessThan(all[0] / 1000);
    }
    expect(read(out, "of W's # numbers # changed")).toEqual([inputs * outputs, 0]);
    const [size, apart] = read(out, 'merged: outputs of up to # differ by # at most');
    expect(size).toBeGreaterThan(1); // else a small difference says little
    expect(apart).toBeLessThan(1e-6 * size);
  });
});

describe('5', () => {
  const [N, k, outputs, r, s, eta] = [10, 8, 6, 2, 2, 0.05];
  const norm = (m: number[][]): number => Math.hypot(...m.flat());
  const [x, t, W] = [random(1, N, k), random(2, N, outputs), random(3, outputs, k, 0.3)];
  /** In loops over numbers: W x + s B A x, and what it costs. */
  const lossAt = (A: number[][], B: number[][]): number =>
    sum(N, (n) => {
      const z = A.map((row) => sum(k, (i) => row[i] * x[n][i]));
      return sum(outputs, (o) => (sum(k, (i) => W[o][i] * x[n][i]) + s * sum(r, (l) => B[o][l] * z[l]) - t[n][o]) ** 2);
    }) / (2 * N); // prettier-ignore
  /** By differences, which are exact along an entry of a parabola. */
  const slopes = (f: () => number, m: number[][]): number[][] =>
    m.map((row) =>
      row.map((value, j) => {
        const [up, down] = [value + 1, value - 1].map((v) => ((row[j] = v), f()));
        row[j] = value;
        return (up - down) / 2;
      }),
    );

  it('the three steps are those that differences make, and A waits one', async () => {
    const out = await lesson(5);
    const rows = every(out, '\n   # # # # # # of # #');
    expect(rows.map(([step]) => step)).toEqual([0, 1, 2]);
    const [A, B] = [random(4, r, k, 1 / r), random(0, outputs, r, 0)];
    for (const [step, loss, sizeB, gradB, gradA, moving, of, off] of rows) {
      const [slopeA, slopeB] = [slopes(() => lossAt(A, B), A), slopes(() => lossAt(A, B), B)];
      const expected = [lossAt(A, B), norm(B), norm(slopeB), norm(slopeA)];
      [loss, sizeB, gradB, gradA].forEach((v, i) => expect(v).toBeCloseTo(expected[i], 4));
      expect([moving, of]).toEqual([step === 0 ? 0 : r * k, r * k]);
      expect(gradB).toBeGreaterThan(1);
      expect(gradA > 0.1).toBe(step > 0);
      expect(off).toBeLessThan(1e-12);
      A.forEach((row, i) => row.forEach((_, j) => (row[j] -= eta * slopeA[i][j])));
      B.forEach((row, i) => row.forEach((_, j) => (row[j] -= eta * slopeB[i][j])));
    }

    expect(read(out, 'after one step are # apart')[0]).toBeLessThan(1e-12);
    expect(read(out, 'rank of D: #, of ΔW: #, r: #')).toEqual([outputs, r, r]);
    expect(read(out, 'after 3 steps # numbers of A and B have moved')).toEqual([0]);

    const layers = every(out, '∂L/∂ h.#.attn.c_attn.');
    expect(layers.flat()).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
    expect(every(out, '.A: # of # not zero')).toEqual(Array.from({ length: 4 }, () => [0, 32]));
    expect(every(out, '.B: # of # not zero')).toEqual(Array.from({ length: 4 }, () => [32, 32]));
  });
});

describe('6', () => {
  it('no difference exceeds its bound, mistakes do, and whole numbers have none', async () => {
    const out = await lesson(6);
    const [k, outputs, N, r, s] = [64, 48, 32, 8, 2];
    const [different, of] = read(out.split('2. The bound')[0], 'outputs that are not the same bits: # of #');
    expect(of).toBe(N * outputs);
    expect(different).toBeGreaterThan(0);

    const [output, off, allowed] = read(out, 'nearest to its bound: output #, off by #, allowed #');
    const sizes = (seed: number, length: number, std: number): number[] =>
      Array.from(normals(key(seed), length), (v) => Math.abs(Math.fround(std * v)));
    const [W, A, B, x] = [
      sizes(1, outputs * k, 1),
      sizes(2, r * k, 1 / r),
      sizes(3, outputs * r, 0.5),
      sizes(4, N * k, 1),
    ];
    const [n, o] = [Math.floor(output / outputs), output % outputs];
    const size = sum(
      k,
      (i) => (W[o * k + i] + s * sum(r, (l) => B[o * r + l] * A[l * k + i])) * x[n * k + i],
    );
    const roundings = (k + r + 2) * 2 ** -24;
    expect(allowed.toExponential(2)).toBe((2 * (roundings / (1 - roundings)) * size).toExponential(2));
    expect(off).toBeGreaterThan(0);
    expect(off).toBeLessThan(allowed);

    const [right, ...wrong] = every(out, 'beyond: #; at most # times what is allowed');
    expect(right[0]).toBe(0);
    expect(right[1]).toBeCloseTo(off / allowed, 3);
    expect(wrong).toHaveLength(2);
    for (const [beyond, most] of wrong) {
      expect(beyond).toBeGreaterThan(0);
      expect(most).toBeGreaterThan(1);
    }

    const [largest, limit] = read(out, 'no sum exceeds #, and 2²⁴ is #');
    expect(limit).toBe(2 ** 24);
    expect(largest).toBeLessThan(limit);
    expect(largest).toBeLessThanOrEqual(k * (8 + r * s * 2 * 2) * 4);
    expect(read(out.split('3. Whole numbers')[1], 'outputs that are not the same bits: # of #')).toEqual([
      0,
      of,
    ]);
  });

  it('the report is within its bound, and what the hand finds; the base and its list of ops stay', async () => {
    const out = await lesson(6);
    const layers = every(out, 'transformer.h.#.mlp.c_fc off by #, allowed #').concat(every(out, 'transformer.h.#.mlp.c_proj off by #, allowed #')); // prettier-ignore
    expect(layers.map(([h]) => h)).toEqual([0, 1, 0, 1]);
    for (const [, off, allowed] of layers) {
      expect(off).toBeGreaterThan(0);
      expect(off).toBeLessThan(allowed);
    }
    const hand = read(out, 'by hand, the worst of these off by #, allowed #');
    expect(hand).toEqual(layers.reduce((a, b) => (b[1] > a[1] ? b : a)).slice(1));

    const [others, numbers] = read(out, 'added and subtracted: # of # numbers of W');
    expect(others / numbers).toBeGreaterThan(0.02); // 11 % are lost where the change is a tenth of W (P5), here it is as large
    expect(read(out, 'merged by bax: # of # numbers of the base')[0]).toBe(0);
    const [base, beside, merged] = read(out, 'base #, with B A beside it #, merged #: the same list');
    expect(merged).toBe(base);
    expect(beside).toBeGreaterThan(base);
  });
});

it("7: every choice learns, the tables are the paper's, and what is said of both can be counted", async () => {
  const out = await lesson(7);
  const [before] = read(out, 'all frozen; loss # nats a token');
  const kinds = ['W_q', 'W_k', 'W_v', 'W_o', 'W_q W_k', 'W_q W_v', 'W_q W_k W_v W_o'];
  const [table5, table6] = [out.split('3. How much')[0], out.split('4. Which rank')[1]];
  const rows = kinds.map((kind) => read(table5, `\n   ${kind} r = # # numbers loss # paper: # %, # %`));
  expect(rows.map(([r, , , ...paper]) => [r, ...paper])).toEqual([
    [8, 70.4, 91.0], [8, 70.0, 90.8], [8, 73.0, 91.0], [8, 73.2, 91.3], [4, 71.4, 91.3], [4, 73.7, 91.3], [2, 73.7, 91.7],
  ]); // prettier-ignore
  rows.forEach(([r, numbers], i) => expect(numbers).toBe(4 * kinds[i].split(' ').length * r * (192 + 192)));
  expect(new Set(rows.map(([, numbers]) => numbers)).size).toBe(1); // one budget
  expect(read(out, "our budget: # numbers; the paper's: #,")).toEqual([
    rows[0][1],
    96 * 8 * (12_288 + 12_288),
  ]);
  const losses = rows.map(([, , loss]) => loss);
  for (const loss of losses) expect(loss).toBeLessThan(before);
  expect(Math.max(losses[2], losses[3])).toBeLessThan(Math.min(losses[0], losses[1])); // as the text says of W_v, W_o

  const seeds = read(out, 'three seeds: loss #, #, #');
  const [noise] = read(out, 'chance alone makes # nats');
  expect(seeds[0]).toBe(losses[5]);
  expect(new Set(seeds).size).toBeGreaterThan(1);
  expect(noise).toBeCloseTo(Math.max(...seeds) - Math.min(...seeds), 2);
  const [pairs, clear] = read(out, 'pairs of rows above: #, further apart than that: #');
  const [agree] = read(out, "in the order of the paper's WikiSQL: #");
  const compared = rows.flatMap((a, i) => rows.slice(i + 1).map((b) => [a[2] - b[2], a[3] - b[3]]));
  /** The printed losses are rounded: pairs at the edge may count or not. */
  const count = (edge: number, which: (p: number[]) => boolean): number =>
    compared.filter((p) => Math.abs(p[0]) > noise + edge && p[1] !== 0 && which(p)).length;
  expect(pairs).toBe(compared.length);
  for (const [said, which] of [
    [clear, () => true],
    [agree, ([loss, accuracy]: number[]) => loss > 0 !== accuracy > 0],
  ] as const) {
    expect(said).toBeGreaterThanOrEqual(count(0.002, which));
    expect(said).toBeLessThanOrEqual(count(-0.002, which));
  }
  expect(clear).toBeGreaterThan(pairs / 3);
  expect(agree / clear).toBeGreaterThan(0.8); // "by more than chance"

  const ranks = every(table6, 'W_q W_v r = # # numbers loss # paper: # %, # %');
  expect(ranks.map(([r, , , ...paper]) => [r, ...paper])).toEqual([
    [1, 73.4, 91.3], [2, 73.3, 91.4], [4, 73.7, 91.3], [8, 73.8, 91.6],
  ]); // prettier-ignore
  for (const [r, numbers, loss] of ranks) {
    expect(numbers).toBe(4 * 2 * r * (192 + 192));
    expect(loss).toBeLessThan(before);
  }
  const [one, share, eight] = read(out, 'r = # gains # % of what r = # gains');
  expect([one, eight]).toEqual([1, 8]);
  expect(share).toBeGreaterThan(50); // "most of the gain comes with the first rank"
  expect(read(out, 'the rest is # nats, and chance alone #')).toEqual([
    expect.closeTo(ranks[0][2] - ranks[3][2], 2),
    noise,
  ]);
  expect(Math.abs(share - (100 * (before - ranks[0][2])) / (before - ranks[3][2]))).toBeLessThan(2);
}, 240_000);

it('8: the op is what it says, its gradients hold, and wrong ones are caught where they are', async () => {
  const out = await lesson(8);
  expect(read(out, 'y = [#, #], by hand [#, #]')).toEqual([5, 6, 5, 6].map((b) => 2 * b * (1 * 3 + 2 * 4)));
  expect(out).toContain(
    'exchanged: lowRank: x [1, 2], A [2, 1], B [1, 2] are not [N, in], [r, in], [out, r]\n',
  );

  const laws = [...out.matchAll(/^ {3}(.+) on cpu +(\d+) calls$/gm)].map(
    ([, law, calls]) => [law, Number(calls)] as const,
  );
  expect(laws.map(([law]) => law)).toEqual(expect.arrayContaining(['shape rule', 'gradient', 'gradient rule', 'views', 'purity', 'leaks'])); // prettier-ignore
  for (const [, calls] of laws) expect(calls).toBeGreaterThan(0);
  const [directions, percent] = read(out, 'gradcheck: # directions, off by at most # %');
  expect(directions).toBe(3 * 4); // three along each of x, A, B and along all together
  expect(percent).toBeLessThanOrEqual(100);

  expect(
    [...out.matchAll(/^ {3}(\w): (.+?) +caught, at (\w)$/gm)].map(([, at, , said]) => [at, said]),
  ).toEqual(['A', 'B', 'x', 'B'].map((at) => [at, at]));
  const [wrong] = read(out, 'grad says ⟨g, v⟩ = #');
  const [right] = read(out, 'f says D(h) = #');
  const [apart, allowed] = read(out, 'they differ #, allowed is |D(2h) − D(h)| + 2ε/h = #');
  expect(apart).toBeCloseTo(Math.abs(wrong - right), 9);
  expect(apart).toBeGreaterThan(allowed);
  const [scale] = read(out, 'with {"scale":#}');
  expect(right / wrong).toBeCloseTo(scale, 6); // what was forgotten

  expect(read(out, 'composed # on the tape: linear [#, #], linear [#, #], mul [#, #]')).toEqual([
    3, 6, 2, 6, 4, 6, 4,
  ]);
  expect(read(out, 'our op # on the tape: lowRank [#, #]')).toEqual([1, 6, 4]);
  expect(read(out, 'their gradients are # apart')[0]).toBeLessThan(1e-12);
});
