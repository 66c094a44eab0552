import { type Code, i32, i32x4, loop, repeatWhile, shuffle32, v128, when } from '../assembler/index.ts';
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

/**
 * Threefry-2x32-20 (core's rng.ts), four blocks at a time: block i gives words 2i and 2i + 1 under the key (k0, k1).
 * Units: runs of RANDOM_WORDS words.
 */
export const randomKernel: Kernel = defineKernel(
  'random',
  { k0: 'i32', k1: 'i32', out: 'i32', words: 'i32' },
  ({ target, f, args, from: unit, to }) => {
    const s = new Scope(f, target);
    const [p, left, block] = [f.local('p'), f.local('left'), f.local('block')];
    const [x0, x1] = [s.temp(), s.temp()];
    const keys = [s.temp(), s.temp(), s.temp()];
    const rotate = (v: Code, by: number): Code => v128.or(i32x4.shl(v, i32.const(by)), i32x4.shr_u(v, i32.const(32 - by)));
    const rounds = [1, 2, 3, 4, 5].map((group) => [
      ROTATIONS[(group - 1) % 2].map((by) => [
        x0.set(i32x4.add(x0, x1)),
        x1.set(v128.xor(rotate(x1, by), x0)),
      ]),
      x0.set(i32x4.add(x0, keys[group % 3])),
      x1.set(i32x4.add(i32x4.add(x1, keys[(group + 1) % 3]), s.i32(group))),
    ]);
    const [low, high] = [s.temp(), s.temp()];
    const store = [
      low.set(shuffle32(x0, x1, [0, 4, 1, 5])),
      high.set(shuffle32(x0, x1, [2, 6, 3, 7])),
      when(
        i32.ge_u(left, i32.const(8)),
        [v128.store(p, low), v128.store(p, high, 16)],
        [0, 1, 2, 3, 4, 5, 6].map((word) =>
          when(
            i32.lt_u(i32.const(word), left),
            v128.store32_lane(p, word < 4 ? low : high, word % 4, 4 * word),
          ),
        ),
      ),
    ];
    const body = loop(unit, unit, to, i32.const(1), [
      block.set(i32.mul(unit, i32.const(RANDOM_WORDS / 2))),
      p.set(i32.add(args.out, i32.mul(unit, i32.const(RANDOM_WORDS * 4)))),
      left.set(i32.sub(args.words, i32.mul(unit, i32.const(RANDOM_WORDS)))),
      when(i32.lt_u(i32.const(RANDOM_WORDS), left), left.set(i32.const(RANDOM_WORDS))),
      repeatWhile(
        [
          x0.set(i32x4.add(i32x4.add(i32x4.splat(block), i32x4.consts(0, 1, 2, 3)), keys[0])),
          x1.set(keys[1]),
          rounds,
          store,
          block.set(i32.add(block, i32.const(4))),
          p.set(i32.add(p, i32.const(32))),
        ],
        i32.gt_s(left.tee(i32.sub(left, i32.const(8))), i32.const(0)),
      ),
    ]);
    return [
      s.before,
      keys[0].set(i32x4.splat(args.k0)),
      keys[1].set(i32x4.splat(args.k1)),
      keys[2].set(v128.xor(v128.xor(keys[0], keys[1]), i32x4.const(PARITY))),
      body,
    ];
  },
);
