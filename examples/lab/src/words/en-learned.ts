/** The view of what was learned, in English. */
export const learned = {
  reading: 'Looking at what was learned',
  matrix: 'Matrix',
  change: 'ΔW',
  noFull: 'To see the change of all weights beside it, let them train too: tick that box in the view Training and begin anew.',
  spectrum: {
    title: 'Singular values of ΔW',
    index: 'i',
    cliff: (r: number) => `r = ${r}`,
    lora: (r: number, effective: string) =>
      `LoRA: ${r} directions and no more, of effective rank ${effective}.`,
    full: (rank: string, effective: string) =>
      `All weights: ${rank} directions, of effective rank ${effective}.`,
    help: 'A singular value says how strongly ΔW acts along one direction. The effective rank is the number of equally strong directions that would be spread as evenly. After r, LoRA’s values are rounding alone, some 16 digits below the first.',
  },
  amplification: {
    title: 'How much LoRA amplifies',
    help: 'The paper’s Table 7: how large W is along r directions on either side, ‖UᵀWV‖, with U and V of three kinds.',
    ofDelta: 'W along the directions of ΔW',
    ofWeight: 'W along its own strongest directions',
    random: 'W along random directions',
    randomExpected: 'the same, by the formula r‖W‖/√(d k)',
    weight: '‖W‖',
    delta: '‖ΔW‖',
    factor: 'Amplification: ‖ΔW‖ over W along ΔW’s directions',
    factorUnscaled: 'the same without α/r: the paper does not say which it means',
    of: (r: number, seed: number) => `r = ${r}, seed ${seed}`,
    what: 'Measured',
    none: 'not determined',
    verdict: (factor: string, random: string) =>
      `ΔW is ${factor} times as large as W is along ΔW’s directions; there W is ${random} times as large as along random ones.`,
  },
  other: {
    title: 'Does another adapter find the same directions?',
    help: 'Train another one on the very same batches, with another start or another rank, and compare: φ(i, j) says how much of its first i directions lies in the other’s first j, from 0 (nothing) to 1 (all).',
    train: 'Train the other adapter',
    training: 'Training the other adapter',
    seed: (seed: number) =>
      `Choose another seed than ${seed}: with the same one both adapters start with the same directions, and would share them for that reason alone.`,
    directions: 'Directions of',
    choices: { A: 'A, as in the paper', delta: 'ΔW' },
    sides: (r: number, seed: number, otherR: number, otherSeed: number) =>
      `Down: i, of r = ${r}, seed ${seed}. To the right: j, of r′ = ${otherR}, seed ${otherSeed}.`,
    measured: 'φ(i, j)',
    random: 'φ(i, j) of random matrices',
    says: (first: string, last: string) => `φ(1, 1) = ${first}; all of both: ${last}.`,
    cell: (name: string, i: number, j: number, value: string) => `${name}(${i}, ${j}) = ${value}`,
    undetermined: 'not determined',
    verdict: (first: string, random: string) =>
      `The strongest direction of each: φ(1, 1) = ${first}. Random directions would share ${random}.`,
    scale: 'In both pictures no colour is 0 and full colour 1, by the square root, so that little is seen, too; grey is not determined.',
  },
  everywhere: {
    title: 'All matrices',
    look: 'Look at all matrices',
    looking: 'Looking at all matrices',
    head: ['Matrix', '‖W‖', '‖ΔW‖', 'Effective rank', 'Amplification'],
  },
}; // prettier-ignore
