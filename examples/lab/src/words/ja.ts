/** The page in Japanese. */
import type { Words } from './en.ts';

const learners = { lora: 'LoRA', full: '全パラメータ', base: '凍結したベース' };

// ── what the packages say of the paper's tables
export const paper: Readonly<Record<string, string>> = {
  'Table 2': '表 2',
  'Table 3': '表 3',
  'Table 4': '表 4',
  'Table 5': '表 5',
  'Table 15': '表 15',
  'Tables 4 and 15': '表 4 と 15',
  'the abstract': '要旨',
  '§4.2': '§4.2',
  '§4.2: VRAM in training': '§4.2：学習時の VRAM',
  '§4.2: the checkpoint': '§4.2：チェックポイント',
  all: 'すべて',
  'Adapter^H': 'Adapter^H',
  tokens: 'トークン',
  'Table 10 says r = 8; 4.7M is the count of r = 16, which the released scripts have':
    '表 10 では r = 8 ですが、4.7M は r = 16 のときの数で、公開スクリプトも r = 16 です',
  'r of the released scripts': '公開スクリプトの r',
  'the released checkpoint has 1.5 MB, which is 393,216 numbers in f32':
    '公開されたチェックポイントは 1.5 MB で、これは f32 で 393,216 個の数です',
  'appendix D.4 says r = 2, Table 15 says 4': '付録 D.4 では r = 2、表 15 では 4',
  'the released GPT-2 medium has what is counted': '公開された GPT-2 medium はここで数えたとおりです',
  "counted with GPT-2's kinds of weights; GPT-3 was not released":
    'GPT-2 と同じ種類の重みとして数えました。GPT-3 は公開されていません',
  'd (l_p + l_i)': 'd (l_p + l_i)',
  'L d (l_p + l_i)': 'L d (l_p + l_i)',
  'weights in fp16': 'fp16 の重み',
  'N = 175,255.8M, as Table 4 prints it': 'N = 175,255.8M（表 4 のとおり）',
  "Adam's two moments in fp16": 'fp16 の Adam の 2 つのモーメント',
  'weights and moments': '重みとモーメント',
  'the paper does not itemise its 1.2 TB; it lies between this line and the next':
    '論文は 1.2 TB の内訳を示していません。この行と次の行の間にあります',
  'with gradients in fp16': 'fp16 の勾配も含めて',
  'in mixed precision': '混合精度の場合',
  'weights and gradients in fp16, weights and both moments in fp32':
    '重みと勾配は fp16、重みと両モーメントは fp32',
  'with LoRA, r = 4 on q and v': 'LoRA の場合（q と v に r = 4）',
  'n = 18,874,368; all of its own in fp16; activations, which the paper does not mention, are left out above, too':
    'n = 18,874,368。LoRA 自身の分はすべて fp16。論文が触れていない活性は、上の行と同様に含めません',
  "LoRA's own part of that": 'そのうち LoRA 自身の分',
  "LoRA's own part in mixed precision": '混合精度での LoRA 自身の分',
  'saved, by what the paper prints': '論文の値による節約',
  'saved, of weights and moments': '重みとモーメントの節約',
  'the moments are two of three parts: "up to 2/3"': 'モーメントは 3 つのうち 2 つ：「最大 2/3」',
  "LoRA's checkpoint in fp16": 'fp16 の LoRA のチェックポイント',
  '36.0 MiB': '36.0 MiB',
  'smaller than all weights': '全パラメータとの比',
  'at 4.7M parameters, r = 1, it is 37,142': '4.7M 個（r = 1）なら 37,142',
  'a hundred tasks with LoRA': 'LoRA で 100 タスク',
  'a hundred tasks without': 'LoRA なしで 100 タスク',
};

// ── the formula
const formula: Words['formula'] = {
  countFor: '数えるモデル',
  models: {
    base: 'このラボのベース',
    gpt2: 'GPT-2 small',
    'gpt2-medium': 'GPT-2 medium',
    gpt3: 'GPT-3 175B',
  },
  drawn: '図に描く W',
  kinds: { frozen: '凍結', learned: '学習する', sum: '保持しない' },
  picture: (name, out, from, r, times) =>
    `行列 ${name} を縮尺どおりに描いた図。W [${out}, ${from}] は凍結され、その横で B [${out}, ${r}] と A [${r}, ${from}] を学習します。W の長い辺はランクの ${times} 倍です。`,
  thin: (times) => `すべて同じ縮尺です。W の長い辺は B の幅の ${times} 倍あります。`,
  tooThin: 'B と A は細すぎてどの画面にも描けないので、線で示しています。',
  trained: '学習するパラメータ数',
  share: 'モデルに占める割合',
  file: 'アダプタの大きさ',
  each: (weight, r, from, out, count) =>
    `この W には ${weight} 個の数があり、A と B は合わせて r (in + out) = ${r} (${from} + ${out}) = ${count} 個です。`,
  all: (matrices, count, model) =>
    `アダプタを付けた ${matrices} 個の行列の全体で、学習するパラメータは ${count} 個です。モデルの ${model} 個はそのまま残ります。`,

  memory: {
    title: '学習に使うメモリの内訳',
    help: 'ドロップアウトなしの AdamW による 1 ステップを、数えるだけのデバイスで動かして求めました。「同時に保持する最大」は合計とは違います。勾配ができるにつれて活性が解放され、計算の途中だけ要るものが加わるからです。',
    frozenAs: '凍結した重みの形式',
    what: '保持するもの',
    lines: {
      frozen: '凍結した重み',
      trained: '学習する重み',
      gradients: '勾配',
      optimizer: '最適化の状態',
      activations: '活性',
      peak: '同時に保持する最大',
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

// ── what was learned
const learned: Words['learned'] = {
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
      `ΔW の大きさは、ΔW の方向での W の ${factor} 倍です。その方向での W は、式で求めたランダムな方向での W の ${random} 倍です。`,
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

// ── many adapters
const whatToDo =
  'このページが書き出した .zip か、PEFT の save_pretrained が書いた 2 つのファイル（adapter_config.json と adapter_model.safetensors）を選んでください。何も変更していません。';

const shelf: Words['shelf'] = {
  teachTitle: '1 つ学習させる',
  name: '名前',
  badName: '半角の英数字と _ と - を使ってください。',
  nameTaken: 'その名前のアダプタはもうあります。別の名前にしてください。',
  otherName: (wish, name) =>
    `「${wish}」という名前のアダプタは、その間に別のタブで保存されていました。このアダプタは「${name}」として保存されています。`,
  teach: 'アダプタを学習させる',
  teaching: 'アダプタの学習',
  teachHelp: (r, alpha, targets, lr) =>
    `「学習」ビューの設定を使います：r = ${r}、α = ${alpha}、対象 ${targets}、学習率 ${lr}。そこで学習したものはそのまま残ります。`,
  taught: (step, steps, loss) =>
    `${steps} ステップ中 ${step} ステップ目：損失は 1 トークンあたり ${loss} ナット。`,
  noOwn: '先に上に貼り付けてください',

  learned: (steps) => `「学習」ビューのアダプタ（${steps} ステップ）：`,
  keepAs: '保存する名前',
  keep: '保存',
  export: '書き出す',
  exportOf: (name) => `${name} を PEFT のフォルダとして .zip に書き出す`,
  exportHelp:
    '書き出すと、q、k、v のアダプタは 0 を含む 1 つのアダプタになり、ランクはその和になります。3 つは合わせて 1 つの行列で、PEFT ではそこにアダプタが 1 つだけだからです。',
  exporting: '書き出し',
  import: 'アダプタを読み込む（.zip、または 2 つのファイル）',
  importing: '読み込み',
  imported: (name) => `「${name}」として加わりました。今はこのアダプタだけを使って書きます。`,
  warned: (warning) => `読み込み時の注意：${warning}`,
  refused: {
    tooLarge: (size) =>
      `大きさが ${size} あります。このモデルのアダプタは 32 MB 未満なので、別のモデルのものです。何も変更していません。`,
    neither: (names) => `アダプタのファイルではありません：${names}。${whatToDo}`,
    notZip: (place) => `読み取れる .zip ではないか、壊れています（${place}）。${whatToDo}`,
    tooMany: (count) =>
      `アーカイブに ${count} 個のファイルがあります。アダプタは 2 つのファイルです。${whatToDo}`,
    missing: (file) => `${file} がありません。${whatToDo}`,
    several: (file) =>
      `アダプタが複数あります（${file} が 2 つ以上）。1 つずつ選んでください。何も変更していません。`,
    unfit: (reason) =>
      `このアダプタはこのページのモデルでは使えません：${reason}。bax が読める種類の LoRA で、このモデルで学習した、壊れていないものが必要です。何も変更していません。`,
  },

  title: '保存したアダプタ',
  none: 'まだありません。1 つ学習させるか、「学習」ビューで学んだものを保存するか、読み込んでください。',
  about: (r, matrices, numbers, size) => `r = ${r}、行列 ${matrices} 個、数値 ${numbers} 個、${size}`,
  weight: '重み',
  weightOf: (name) => `${name} の重み`,
  alone: 'これだけ',
  aloneOf: (name) => `これだけを使う：${name}`,
  baseAlone: 'ベースだけ',
  negate: '符号を反転した写し',
  negateOf: (name) => `${name} の符号を反転した写し`,
  rankOf: (name) => `${name} のランクを下げた写しのランク`,
  smaller: 'ランクを下げた写し',
  smallerOf: (name, rank) => `${name} のランクを下げた写し（ランク ${rank}）`,
  remove: '削除',
  removeOf: (name) => `${name} を削除`,
  removing: '削除',
  sureRemove: (name) => `アダプタ ${name} を削除しますか。書き出した .zip がなければ元に戻せません。`,
  broken: (name, reason) => `${name} は保存されていますが、読み取れません：${reason}`,
  making: 'アダプタの作成',
  inUse: '今のブレンド',
  sumAs: '1 つにまとめたアダプタの名前',
  sum: '足し合わせる',
  sameSum: (name, difference, bound) =>
    `「${name}」は 1 つでブレンドと同じ働きをします。プロンプトのロジットの差は最大 ${difference}、丸め誤差の上限は ${bound} です。`,
  sameNegative: (name, difference, bound) =>
    `「${name}」を元のアダプタと並べるとベースに戻ります。プロンプトのロジットの差は最大 ${difference}、丸め誤差の上限は ${bound} です。`,
  lost: (name, most, path, least) =>
    `「${name}」はそのランクで最も近いものです。失われたのは ‖ΔW‖ の最大 ${most}（${path}）、最小 ${least} です。`,
  lostTable: '小さいランクで失われたもの',

  next: '次に来るもの',
  nextHelp: '重みを動かして見てください。数値は確率で、毎回計算し直しています。',
  base: 'ベース',
  blend: 'ブレンド',
  writeBlend: 'ブレンドで書く',

  together: '1 つのバッチに複数のアダプタ',
  togetherHelp: (rows) =>
    `${rows} 行で 1 つのバッチです。W の掛け算は全行まとめて 1 回、そこへ行ごとに別の B A を足します（足さない行もあります）。`,
  writeTogether: '全行を一緒に書く',
  row: '行',
  sameTogether: (count, difference, largest) =>
    `全 ${count} 個のロジットを 1 行ずつの計算と比べると、差は最大 ${difference} です（ロジットの絶対値は最大 ${largest}）。`,
  sameBits: (count) => `全 ${count} 個のロジットは、1 行ずつ計算したときとビットまで同じです。`,

  sizes: 'バイト数（同じ縮尺）',
  oneBase: (count) => `ベース 1 つとアダプタ（${count} 個）`,
  wholeModels: (count) => `全パラメータを学習した同数のモデル（${count} 個）`,
  sizesAre: (base, adapters, whole) =>
    `ベースは ${base}、アダプタは合わせて ${adapters}。それぞれ別のモデルにすると ${whole} になります。`,
  bytes: 'バイト数',
};

// ── under the hood
const hood: Words['hood'] = {
  reading: 'ステップの分解',
  measuring: '呼び出しの計測',
  about: (step, rows, tokens) =>
    `LoRA の学習のステップ ${step} の呼び出しです。次のバッチは ${rows} × ${tokens} トークンです。逆方向では、それぞれが自分の結果の勾配を受け取り、A と B、またはそれらに依存する入力にだけ渡します。`,
  onTape: 'テープ上の呼び出し',
  ran: 'デバイスに届く呼び出し',
  forward: '順方向',
  backward: '逆方向',
  asked: '勾配を求める数',
  neverAsked: '並んでいる凍結した数',
  before: (ops) =>
    `テープが始まる前に、${ops} が記録されずに動きました。その手前に学習するものはないので、勾配を求められることはありません。`,
  legend:
    '図の W は凍結した重み、A B は学習する重みです。破線の枠は見方を変えるだけの呼び出しで、数を動かしません。',
  drawn:
    'テープのグラフ。最初の呼び出しから損失までを上から下に描いています。同じ呼び出しが次のツリーにあります。',
  graph: 'テープの図',
  tree: 'テープの呼び出し',
  end: '最後のブロックの後',
  calls: (n) => `呼び出し ${n} 個`,

  inputs: '呼び出しの入力',
  inputHead: ['入力', '内容', '形', 'その勾配（g = ∇y）'],
  from: { batch: 'バッチ', unrecorded: 'テープが始まる前に計算' },
  trained: '学習する',
  frozen: '凍結',
  notAsked: '求めない',
  gives: '結果 y',
  expression: '要素ごとの計算：',
  derived: 'そこから導いた勾配の計算：',
  time: (forward, backward) => `順方向 ${forward}、逆方向 ${backward}。`,
  nothing: '何も動かない',
  madeOf: '中身',
  kernels: 'カーネル',
  noWgsl: 'ここでは WebAssembly が計算しています。以下は、同じ呼び出しで GPU に渡される WGSL カーネルです。',
  mapKernel: 'map：式から作られた WGSL',

  timesTitle: '呼び出しごとの時間',
  timesHelp:
    'テープの呼び出しを 1 つずつ何度か続けて動かし、最後の結果の数を 1 つ読めるまでの時間を測ります。これを 5 回行った中央値です。一度に動かしたステップは合計とは異なります。要素ごとの呼び出しが 1 つにまとまり、途中で待つこともなく、埋め込みや勾配の足し合わせも加わるからです。',
  measure: '各呼び出しを計測する',
  whole: (both, forward, backward, calls) =>
    `ステップを往復で一度に動かすと ${both} ms（順方向 ${forward}、逆方向 ${backward}）。呼び出しを 1 つずつ動かした合計は ${calls} ms。`,
  kindHead: ['呼び出し', '順方向、ms', '逆方向、ms', '割合'],
  callHead: [
    '番号',
    '演算',
    '場所',
    '勾配を求める入力',
    '求めない入力',
    '結果',
    '順方向のカーネル',
    '逆方向のカーネル',
    '順方向、ms',
    '逆方向、ms',
  ],

  memoryTitle: 'このステップのメモリの内訳',
  memoryHelp: 'このステップを動かしながらデバイスで測りました。バッチも含みます。',
  keptTitle: 'テープが逆方向のために保存するもの',
  keptHead: ['演算', '場所', '結果', 'バイト数'],
};

// ── the page
export const ja: Words = {
  title: 'LoRA が学ぶのを見る',
  subtitle:
    '本物の Transformer を、このタブの中で学習させます。入力した文章はこのブラウザに保存され、外に送られることはありません。',
  language: '言語',
  theme: '配色',
  themes: { auto: 'システムに合わせる', light: 'ライト', dark: 'ダーク' },
  toContent: '本文へ移動',
  viewsLabel: 'ビュー',
  views: {
    formula: {
      name: '式',
      idea: 'LoRA は大きな行列 W をそのまま残し、その横で細い行列を 2 つ学習します。',
      look: 'r を大きくしてください。B と A は W の横の細い線から幅のある帯になり、学習するパラメータの数は r に比例して増えます。α を変えても数は変わりません。次に GPT-3 を選ぶと、その W の横では細すぎて描けなくなります。',
    },
    steps: {
      name: '最初の数ステップ',
      idea: 'B はゼロから始まるので、アダプタはまだ何も変えません。そして B が動くまで、A は学べません。',
      look: 'ステップ 0 では ∇A の図は空です。どの値もちょうど 0 ですが、∇B はそうではありません。1 ステップ進めると ∇A が目を覚まします。',
    },
    training: {
      name: '学習',
      idea: 'LoRA はわずかな数のパラメータで新しい文章を学び、ベースはそのまま残ります。',
      look: '3 つのモデルが同じバッチを読みます。どの損失が、どれだけのコストで下がり、どれが元の文章を忘れるかを見てください。',
    },
    learned: {
      name: '学んだもの',
      idea: 'LoRA が学んだのは ΔW = (α/r) B A です。W と同じ形ですが、わずか r 個の方向でできています。',
      look: '崖を探してください。r 番目の特異値より先には ΔW に何も残っていませんが、全パラメータの変化はその先も続きます。次に、別の乱数の種でも同じ方向が見つかるかを調べてください。',
    },
    merged: {
      name: 'マージの前と後',
      idea: 'W + (α/r) B A は再び 1 つの行列です。答えは同じで、コストはベースと同じです。',
      look: 'マージして比べてください。差は丸め誤差の上限の線より下にあり、デバイスで動く呼び出しはベースと同じです。',
    },
    adapters: {
      name: '複数のアダプタ',
      idea: 'アダプタは小さな変更で、足すことも、重みを付けることも、打ち消すことも、取り替えることもできます。下にあるベースは変わりません。',
      look: '別々の文章で 2 つ学習させ、重みを動かしてください。同じベースが一方のように、もう一方のように、あるいはどちらとも違うように話します。1 つのバッチの行ごとに使い分けることもできます。',
    },
    hood: {
      name: '中をのぞく',
      idea: '学習の 1 ステップは、呼び出しの列（テープ）を残します。それを逆にたどると、求めた勾配だけが得られます。',
      look: 'loraLinear を選んでください。勾配を求めるのは x、A、B だけで、凍結した W の勾配は求めません。その積は計算されません。これが LoRA の節約する計算です。',
    },
  },
  lookFor: '見どころ',
  lesson: 'レッスン',
  source: 'ソース',
  close: '閉じる',
  stop: '止める',
  tryAgain: 'もう一度',

  loadingModel: 'モデルの読み込み',
  readingText: '文章の読み込み',
  doing: (what) => `${what}…`,
  done: (what) => `${what}：完了。`,
  stopped: (what) => `${what}：停止しました。`,
  failed: (what) => `${what}：失敗しました。`,
  notLoaded: 'モデルはまだ読み込まれていません。',
  model: (parameters, size, device) => `GPT-2、パラメータ ${parameters} 個（${size}）、${device}。`,
  knows:
    'このモデルが読んだのは、アメリカ大統領の議会演説（1790 年から 2021 年）だけです。別の文章を教えて、何を忘れるかを見てください。',
  noGpu: 'GPU なしで計算しています。遅くなりますが、同じように動きます。',
  useGpu: 'GPU を使うには',
  howGpu:
    'WebGPU に対応したブラウザ（Chrome、Edge、Safari 26、Firefox 141 以降）で、設定のハードウェア アクセラレーションを有効にしてください。',
  notKept:
    'このブラウザはこのページのデータを保存しません（プライベート ウィンドウかもしれません）。残したいものは書き出してください。',
  notStored: (reason) =>
    `今学習しているものはこのブラウザに保存できません（${reason}）。残したいものは書き出してください。`,
  fromDisk: 'ディスクから開いたページには何も保存できません。残したいものは書き出してください。',
  otherTab:
    'このページは別のタブでも開かれていて、学習の途中経過はそちらだけが保存します。このタブの経過は閉じると消えます。',
  lost: 'GPU が使えなくなりました（スリープしたか、ドライバが再起動したのかもしれません）。GPU にあったものは失われましたが、このブラウザに保存したものは残っています。',
  onWasm: 'GPU なしで続ける',
  onGpu: 'もう一度 GPU を使う',
  resumed: (steps) =>
    `前回の続き：${steps} ステップ済み。アダプタはそこから続きますが、最適化が覚えていた過去の勾配は空に戻るので、最初の数ステップは少し乱れることがあります。全パラメータを学習したモデルは保存されません。`,

  corpus: '学習の材料',
  text: '学ぶ文章',
  texts: {
    'moby-dick': '白鯨（1851 年）',
    'early-presidents': '大統領の議会演説（1790–1830 年）',
    'recent-presidents': '大統領の議会演説（1990–2021 年）',
    own: '自分の文章',
  },
  ownText: 'ここに文章を貼り付けてください（1 ページ以上）',
  ownFile: 'またはファイルを開く',
  useText: 'この文章を使う',
  textRead: (tokens, heldOut, characters) =>
    `${characters} 文字は ${tokens} トークンです。最後の ${heldOut} トークンは学習に使いません。`,
  notUsedYet: (inUse) => `まだ使われていません。「この文章を使う」を押すまでは「${inUse}」を学習します。`,
  tooShort: (tokens, least) =>
    `この文章は短すぎます。${tokens} トークンしかありません。${least} トークン（1 ページほど）が必要です。`,
  ownNotKept: 'この文章を使っていますが、ブラウザに保存する空きがないため、ページを閉じると失われます。',
  tooLong: (characters, most) =>
    `この文章は長すぎます。${characters} 文字あります。読めるのは ${most} 文字までです。`,
  sureLeave: (steps) =>
    `${steps} ステップの学習を終えます。アダプタを後で使うには、先に保存するか書き出してください。終えますか？`,
  oddScript:
    'この文章は 1 文字に 1 トークンより多くかかります。小さなモデルはこの文字をほとんど見たことがなく、学習は遅くなります。',
  fileTooLarge: (size) => `ファイルの大きさは ${size} です。8 MB 以下のものを開いてください。`,
  notText: 'ファイルは UTF-8 のテキストではありません。',

  fields: {
    r: 'ランク r',
    alpha: 'α',
    seed: '乱数の種',
    lr: 'LoRA の学習率',
    fullLr: '全パラメータの学習率',
    batch: 'バッチの行数',
    context: '1 行のトークン数',
    tokens: '書くトークン数',
    temperature: '温度',
    otherR: 'そのランク r′',
    otherSeed: 'その乱数の種',
  },
  invalid: (least, most, whole) => `${least} から ${most} までの${whole ? '整数' : '数'}。`,
  targets: 'アダプタを付ける行列',
  targetsNone: '1 つ以上選んでください。',
  learners,
  voices: { ...learners, merged: 'マージ済み' },

  numbersCsv: '数値を CSV で',
  link: 'この設定へのリンクをコピー',
  linkNotCopied: 'このページはブラウザにコピーを許されていません。アドレス バーからリンクを取ってください。',
  linkCopied: 'リンクをコピーしました。',
  takeHome: 'このページを持ち帰る（ネットワークなしで動く .zip）',

  matrix: '行列',
  optimizer: '最適化手法',
  step: (n) => `ステップ ${n}`,
  nextStep: '1 ステップ進む',
  backStep: '1 ステップ戻る',
  firstStep: 'ステップ 0 へ',
  stepping: '1 ステップ',
  lossIs: (loss) => `このバッチの損失は 1 トークンあたり ${loss} ナット。`,
  exactlyZero: (n) => `${n} 個すべてがちょうど 0 です。`,
  largestIs: (largest, norm) => `最大の絶対値 ${largest}、ノルム ${norm}。`,
  cell: (name, i, j, value) => `${name}[${i}, ${j}] = ${value}`,
  heatKey:
    'オレンジは 0 より大きい値、青は 0 より小さい値、無色は 0 です。小さな値も見えるように平方根で塗っています。最も濃い色は各図の最大値なので、図どうしは数値で比べてください。',
  heatHelp: '数値を指すか、矢印キーで動かしてください。',
  turned: '横に倒して表示',
  whyZero:
    '理由：連鎖律により、それぞれの勾配にはもう一方の因子が掛かります。B = 0 なら、A の勾配に掛かるものがありません。',
  verdict: {
    asleep: '∇A はちょうどゼロで、∇B はゼロではありません。このステップで動くのは B だけです。',
    awake: 'どちらの勾配もゼロではありません。ここからは両方の因子が動きます。',
  },

  start: '学習する',
  goOn: '続ける',
  pause: '一時停止',
  oneStep: '1 ステップ',
  again: '最初から',
  training: '学習',
  steps: 'ステップ数',
  alsoFull: '全パラメータの学習も並べる',
  changeRank: (r) => `ランクを ${r} に変える`,
  changingRank: 'ランクの変更',
  lossChart: 'バッチの損失（ナット／トークン）',
  newChart: '学習に使わない新しい文章のパープレキシティ',
  oldChart: '元の分野のパープレキシティ',
  perplexityHelp:
    'パープレキシティ：モデルが同じくらい確からしいトークン何個の間で迷っているか。低いほど良い値です。元の分野はベースが知っている大統領演説（学習に使わなかったもの）で、ここで上がれば忘却です。アダプタを付けている間は LoRA も忘れますが、外せばベースがそのまま戻ります。全パラメータの学習は元に戻せません。',
  baseHasRead:
    'ここで学習に使う演説はベースがすでに読んだものですが、パープレキシティを測る末尾の演説は読んでいません。',
  comparison: 'それぞれのコストと結果',
  table: {
    model: 'モデル',
    trained: '学習するパラメータ数',
    share: 'モデルに占める割合',
    state: '勾配と最適化の状態',
    speed: 'トークン／秒',
    loss: '損失（最後の 10 ステップの平均）',
    new: 'パープレキシティ（新しい文章）',
    old: 'パープレキシティ（元の分野）',
  },
  tableNone: {
    full: '保存なし',
  },
  stepOf: (step) => `${step} ステップ済み`,
  runHas: (r, alpha, targets, seed, rows, tokens) =>
    `この学習の設定：r = ${r}、α = ${alpha}、${targets}、乱数の種 ${seed}、1 ステップ ${rows} × ${tokens} トークン。ここで選んだほかの値は、最初から始めたときに使われます。`,
  meanwhile: 'アダプタを学習しています。ここに表示しているのは、その前の結果です。',
  nothingYet: 'まだ何も学習していません。',
  measuredAt: (step) => `${step} ステップ後`,
  byHeart: (step) =>
    `取り分けた文章での LoRA のパープレキシティは ${step} ステップ後が最小で、その後は上がっています。文章を丸暗記し始めています。そこで止めるか、学習率を下げるか、文章を増やしてください。`,
  trainFirst: '今すぐ 20 ステップ学習する',

  formula,
  learned,

  merge: 'マージ',
  unmerge: 'マージを解く',
  merging: 'マージ',
  mergedState: 'アダプタはマージされています。W の場所に W + (α/r) B A があります。',
  unmergedState: 'アダプタは W の横で動いています。',
  prompt: 'プロンプト',
  nextToken: '次のトークン',
  logit: 'ロジット',
  logitOf: { merged: 'ロジット（マージ後）', unmerged: 'ロジット（マージ前）' },
  likeliest: (prompt) => `「${prompt}」の次に来やすいトークン`,
  difference: '差',
  signed: 'マージ後 − マージ前',
  allLogits: (difference, bound) =>
    `プロンプトの全ロジットの最大の差：${difference}。丸め誤差の上限：${bound}。`,
  vocabulary: (last) => `語彙のトークン（0 から ${last}）`,
  differenceChart: '最後のトークンの後の各ロジットの |マージ後 − マージ前| と、丸め誤差の上限',
  boundLabel: '上限',
  layers: 'マージした各行列と、f64 で計算した W + (α/r) B A の比較',
  layer: '行列',
  error: '最大の誤差',
  bound: 'そこでの上限',
  used: '各要素の上限に対する割合の最大',
  ran: '順方向の呼び出しと、そのために GPU に渡されるカーネル',
  ranCount: (base, unmerged, merged) =>
    `カーネルの数：ベース ${base}、アダプタを横に付けて ${unmerged}、マージ後 ${merged}。`,
  ranSame: (calls) =>
    `マージ後の呼び出しは、1 つずつベースと同じです。演算も、場所も、形も、カーネルも同じです。このデバイスでも、${calls} 回の呼び出しがすべて同じです。`,
  ranDiffer: 'マージ後の呼び出しはベースと異なります。',
  givenTo: { base: 'ベース', unmerged: 'アダプタを横に付けて', merged: 'マージ後' },
  kernels: 'カーネル',
  operation: '演算',
  place: '場所',
  shapes: '形',
  writeBoth: '両方で書く',

  ask: 'モデルに聞く',
  voice: '書き手',
  write: '書く',
  writing: '文章の生成',
  written: 'モデルが書いた文章',
  sameSeed: '乱数の種と温度が同じなら、同じ文章になります。',
  unreadable: '四角や � は、小さなモデルがまだ組み立てられない文字の断片です。',
  askPauses: '学習中に聞くと、今のステップの後で学習が一時停止し、書き終わると続きます。',

  shelf,
  hood,
};
