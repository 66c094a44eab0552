/** The view of the formula, in Japanese. */
import type { Words } from './en.ts';
import { paper } from './ja-paper.ts';

export const formula: Words['formula'] = {
  countFor: '数えるモデル',
  models: {
    base: 'このラボのベース',
    gpt2: 'GPT-2 small',
    'gpt2-medium': 'GPT-2 medium',
    gpt3: 'GPT-3 175B',
  },
  drawn: '描く W',
  kinds: { frozen: '凍結', learned: '学習する', sum: '保存しない' },
  picture: (name, out, from, r, times) =>
    `行列 ${name} を縮尺どおりに描いた図。W [${out}, ${from}] は凍結され、その横で B [${out}, ${r}] と A [${r}, ${from}] を学習します。W の長い辺はランクの ${times} 倍です。`,
  thin: (times) => `すべて同じ縮尺です。W の長い辺は B の幅の ${times} 倍あります。`,
  tooThin: 'B と A は細すぎてどの画面にも描けないので、線で示しています。',
  trained: '学習する数',
  share: 'モデルに占める割合',
  file: 'アダプタの大きさ',
  each: (weight, r, from, out, count) =>
    `この W には ${weight} 個の数があり、A と B は合わせて r (in + out) = ${r} (${from} + ${out}) = ${count} 個です。`,
  all: (matrices, count, model) =>
    `アダプタを付けた ${matrices} 個の行列の全体で、学習する数は ${count} 個です。モデルの ${model} 個はそのまま残ります。`,

  memory: {
    title: '学習に使うメモリの内訳',
    help: 'ドロップアウトなしの AdamW による 1 ステップを、数えるだけのデバイスで動かして求めました。',
    frozenAs: '凍結した重みの形式',
    what: '保持するもの',
    lines: {
      frozen: '凍結した重み',
      trained: '学習する重み',
      gradients: '勾配',
      optimizer: '最適化の状態',
      activations: '活性',
      peak: '同時に最大で',
    },
    saved: (times) =>
      `全パラメータの学習には ${times} 倍のメモリが要ります。LoRA が節約するのは勾配と最適化の状態です。凍結した重みと活性は残り、活性はバッチのトークン数とともに増えます。`,
  },

  paper: {
    title: '論文に載っている値',
    help: (rows, differing) =>
      `論文の ${rows} 個の値を、論文自身の式で計算し直しました。そのうち印を付けた ${differing} 行では、式から出る値と異なる数が載っています。下線の付いた行列名を押すと、上でその行を数えます。`,
    counts: '論文の学習パラメータ数',
    countHead: ['手法', 'モデル', '適用先', 'r または長さ', '式の値', '論文の値', '判定', '注'],
    memory: '論文の GPT-3 のメモリ、1 行ずつ',
    memoryHead: ['項目', '計算', '値', '論文の値', '判定', '注'],
    methods: {
      full: '全パラメータ',
      LoRA: 'LoRA',
      Adapter: 'Adapter',
      PrefixEmbed: 'PrefixEmbed',
      PrefixLayer: 'PrefixLayer',
    },
    verdicts: {
      rounded: '一致',
      truncated: '一致（端数切り捨て）',
      differs: (by) => `不一致（${by}）`,
    },
    say: (text) => paper[text] ?? text,
  },
};
