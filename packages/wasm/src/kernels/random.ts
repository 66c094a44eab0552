/** Random words, the same as on every other backend, and the dropout that they decide. */
import {
  type Code, f32x4, type Func, i32, i32x4, type Local, loop, repeatWhile, shuffle32, v128, when,
} from '../assembler/index.ts'; // prettier-ignore
import { defineKernel, type Kernel } from './kernel.ts';
import { Scope } from './scope.ts';

const PARITY = 0x1bd11bda;
/** How far each round rotates: four rounds of one, four of the other. */
const ROTATIONS = [
  [13, 15, 26, 6],
  [17, 29, 16, 24],
] as const;
/** Words of a unit. */
export const RANDOM_WORDS = 4096;

interface Threefry {
  /** Sets up the key. */
  readonly start: Code;
  /** Computes blocks `block` to `block` + 3: eight words, the first four in `low`. */
  readonly blocks: (block: Local) => Code;
  readonly low: Local;
  readonly high: Local;
}

/** Threefry-2x32-20 (core's rng.ts), four blocks at a time: block i gives words 2i and 2i + 1 under the key (k0, k1). */
function threefry(s: Scope, k0: Local, k1: Local): Threefry {
  const [x0, x1, low, high] = [s.temp(), s.temp(), s.temp(), s.temp()];
  const keys = [s.temp(), s.temp(), s.temp()];
  const rotate = (v: Code, by: number): Code =>
    v128.or(i32x4.shl(v, i32.const(by)), i32x4.shr_u(v, i32.const(32 - by)));
  const rounds = [1, 2, 3, 4, 5].map((group) => [
    ROTATIONS[(group - 1) % 2].map((by) => [x0.set(i32x4.add(x0, x1)), x1.set(v128.xor(rotate(x1, by), x0))]),
    x0.set(i32x4.add(x0, keys[group % 3])),
    x1.set(i32x4.add(i32x4.add(x1, keys[(group + 1) % 3]), s.i32(group))),
  ]);
  return {
    low,
    high,
    start: [
      keys[0].set(i32x4.splat(k0)),
      keys[1].set(i32x4.splat(k1)),
      keys[2].set(v128.xor(v128.xor(keys[0], keys[1]), i32x4.const(PARITY))),
    ],
    blocks: (block) => [
      x0.set(i32x4.add(i32x4.add(i32x4.splat(block), i32x4.consts(0, 1, 2, 3)), keys[0])),
      x1.set(keys[1]),
      rounds,
      low.set(shuffle32(x0, x1, [0, 4, 1, 5])),
      high.set(shuffle32(x0, x1, [2, 6, 3, 7])),
    ],
  };
}

/** The kernel's loop over words, eight at a time. `write` is given the bytes from the first word's place, and how many words are left. */
function forWords(
  f: Func,
  s: Scope,
  [unit, to, words]: readonly [Local, Local, Local],
  random: Threefry,
  write: (at: Local, left: Local) => Code,
): Code {
  const [at, left, block] = f.locals('at', 'left', 'block');
  return [
    s.before,
    random.start,
    loop(unit, unit, to, i32.const(1), [
      block.set(i32.mul(unit, i32.const(RANDOM_WORDS / 2))),
      at.set(i32.mul(unit, i32.const(RANDOM_WORDS * 4))),
      left.set(i32.sub(words, i32.mul(unit, i32.const(RANDOM_WORDS)))),
      when(i32.lt_u(i32.const(RANDOM_WORDS), left), left.set(i32.const(RANDOM_WORDS))),
      repeatWhile(
        [
          random.blocks(block),
          write(at, left),
          block.set(i32.add(block, i32.const(4))),
          at.set(i32.add(at, i32.const(32))),
        ],
        i32.gt_s(left.tee(i32.sub(left, i32.const(8))), i32.const(0)),
      ),
    ]),
  ];
}

/** Eight elements, of which `left` exist. */
const storeEight = (p: Code, low: Code, high: Code, left: Local): Code =>
  when(
    i32.ge_u(left, i32.const(8)),
    [v128.store(p, low), v128.store(p, high, 16)],
    [0, 1, 2, 3, 4, 5, 6].map((word) =>
      when(i32.lt_u(i32.const(word), left), v128.store32_lane(p, word < 4 ? low : high, word % 4, 4 * word)),
    ),
  );

/** Fills `out` with the words under the key. Units: runs of RANDOM_WORDS words. */
export const randomKernel: Kernel = defineKernel(
  'random',
  { k0: 'i32', k1: 'i32', out: 'i32', words: 'i32' },
  ({ target, f, args, from, to }) => {
    const s = new Scope(f, target);
    const random = threefry(s, args.k0, args.k1);
    return forWords(f, s, [from, to, args.words], random, (at, left) =>
      storeEight(i32.add(args.out, at), random.low, random.high, left),
    );
  },
);

/** y = x · scale where the word's upper 24 bits reach `threshold`, else 0. Units: runs of RANDOM_WORDS elements. */
export const dropoutKernel: Kernel = defineKernel(
  'dropout',
  { k0: 'i32', k1: 'i32', x: 'i32', y: 'i32', words: 'i32', threshold: 'i32', scale: 'f32' },
  ({ target, f, args, from, to }) => {
    const s = new Scope(f, target);
    const random = threefry(s, args.k0, args.k1);
    const [p, low, high] = [f.local('p'), s.temp(), s.temp()];
    const kept = (bits: Code, x: Code): Code =>
      v128.and(
        i32x4.ge_s(i32x4.shr_u(bits, i32.const(8)), i32x4.splat(args.threshold)),
        f32x4.mul(x, f32x4.splat(args.scale)),
      );
    return forWords(f, s, [from, to, args.words], random, (at, left) => [
      p.set(i32.add(args.x, at)),
      low.set(kept(random.low, v128.load(p))),
      high.set(kept(random.high, v128.load(p, 16))),
      storeEight(i32.add(args.y, at), low, high, left),
    ]);
  },
);
