/** The view of what was learned, in Japanese. */
import type { Words } from './en.ts';

export const learned: Words['learned'] = {
  reading: '学んだものの分析',
  matrix: '行列',
  change: 'ΔW',
  noFull:
    '全パラメータの変化も並べて見るには、「学習」ビューで全パラメータの学習にチェックを入れ、最初から始めてください。',
  spectrum: {
    title: 'ΔW の特異値',
    index: 'i',
    cliff: (r) => `r = ${r}`,
    lora: (r, effective) => `LoRA：方向は ${r} 個だけで、実効ランクは ${effective} です。`,
    full: (rank, effective) => `全パラメータ：方向は ${rank} 個で、実効ランクは ${effective} です。`,
    help: '特異値は、ΔW がその方向にどれだけ強く働くかを表します。実効ランクは、同じ強さの方向なら何個分の広がりかを表す数です。r より先の LoRA の値は丸め誤差だけで、1 番目より約 16 桁小さくなります。',
  },
  amplification: {
    title: 'LoRA がどれだけ増幅するか',
    help: '論文の表 7：両側の r 個の方向で見た W の大きさ ‖UᵀWV‖ を、3 通りの U と V で測ります。',
    ofDelta: 'ΔW の方向での W',
    ofWeight: 'W 自身の最も強い方向での W',
    random: 'ランダムな方向での W',
    randomExpected: '同、式 r‖W‖/√(d k) による値',
    weight: '‖W‖',
    delta: '‖ΔW‖',
    factor: '増幅率：‖ΔW‖ ÷ ΔW の方向での W',
    factorUnscaled: '同、α/r を除いた値（論文はどちらか明記していません）',
    of: (r, seed) => `r = ${r}、種 ${seed}`,
    what: '測ったもの',
    none: '定まりません',
    verdict: (factor, random) =>
      `ΔW の大きさは、ΔW の方向での W の ${factor} 倍です。その方向での W は、ランダムな方向での W の ${random} 倍です。`,
  },
  other: {
    title: '別のアダプタも同じ方向を見つけるか',
    help: '初期値かランクの違うアダプタを、まったく同じバッチで学習させて比べます。φ(i, j) は、一方の最初の i 個の方向が他方の最初の j 個の方向にどれだけ含まれるかを、0（まったくない）から 1（すべて）で表します。',
    train: '別のアダプタを学習する',
    training: '別のアダプタの学習',
    seed: (seed) =>
      `${seed} 以外の種を選んでください。同じ種では 2 つのアダプタが同じ方向から始まり、それだけで方向が一致してしまいます。`,
    directions: '比べる方向',
    choices: { A: 'A（論文のとおり）', delta: 'ΔW' },
    sides: (r, seed, otherR, otherSeed) =>
      `縦：i、r = ${r}、種 ${seed}。横：j、r′ = ${otherR}、種 ${otherSeed}。`,
    measured: 'φ(i, j)',
    random: 'ランダムな行列の φ(i, j)',
    says: (first, last) => `φ(1, 1) = ${first}、両方の全体では ${last}。`,
    cell: (name, i, j, value) => `${name}(${i}, ${j}) = ${value}`,
    undetermined: '定まりません',
    verdict: (first, random) => `最も強い方向どうし：φ(1, 1) = ${first}。ランダムな方向なら ${random} です。`,
    scale:
      'どちらの図でも、色なしが 0、最も濃い色が 1 です。小さな値も見えるように平方根で塗っています。灰色は定まらない値です。',
  },
  everywhere: {
    title: 'すべての行列',
    look: 'すべての行列を見る',
    looking: 'すべての行列の分析',
    head: ['行列', '‖W‖', '‖ΔW‖', '実効ランク', '増幅率'],
  },
};
