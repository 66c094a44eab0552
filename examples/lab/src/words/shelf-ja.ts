/** Of adapters that are kept, in Japanese. */
import type { shelfEn } from './shelf-en.ts';

const whatToDo =
  'このページが書き出した .zip か、PEFT の save_pretrained が書いた 2 つのファイル（adapter_config.json と adapter_model.safetensors）を選んでください。何も変更していません。';

export const shelfJa: typeof shelfEn = {
  teachTitle: '1 つ学習させる',
  name: '名前',
  badName: '半角の英数字と _ と - を使ってください。',
  nameTaken: 'その名前のアダプタはもうあります。別の名前にしてください。',
  teach: 'アダプタを学習させる',
  teaching: 'アダプタの学習',
  teachHelp: (r, alpha, targets, lr) =>
    `「学習」ビューの設定を使います：r = ${r}、α = ${alpha}、対象 ${targets}、学習率 ${lr}。そこで学習したものはそのまま残ります。`,
  taught: (step, steps, loss) => `${steps} ステップ中 ${step}：損失は 1 トークンあたり ${loss} ナット。`,
  noOwn: '先に上に貼り付けてください',

  learned: (steps) => `「学習」ビューで ${steps} ステップ学んだもの：`,
  keepAs: '保存する名前',
  keep: '保存',
  export: '書き出す',
  exportOf: (name) => `${name} を PEFT のフォルダとして .zip に書き出す`,
  exporting: '書き出し',
  import: 'アダプタを読み込む（.zip、または 2 つのファイル）',
  importing: '読み込み',
  imported: (name) => `「${name}」として加わりました。今はこれだけが書きます。`,
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
      `このアダプタはこのページのモデルでは使えません：${reason}。このモデルで学習したものを選び、壊れているなら作った場所でもう一度書き出してください。何も変更していません。`,
  },

  title: '保存したアダプタ',
  none: 'まだありません。1 つ学習させるか、「学習」ビューで学んだものを保存するか、読み込んでください。',
  about: (r, matrices, numbers, size) => `r = ${r}、行列 ${matrices} 個、数 ${numbers} 個、${size}`,
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
  sumAs: '1 つのアダプタにまとめる名前',
  sum: '足し合わせる',
  sameSum: (name, difference, bound) =>
    `「${name}」は 1 つでブレンドと同じ働きをします。プロンプトのロジットの差は最大 ${difference}、丸め誤差の範囲は ${bound} です。`,
  sameNegative: (name, difference, bound) =>
    `「${name}」を元のアダプタと並べるとベースに戻ります。プロンプトのロジットの差は最大 ${difference}、丸め誤差の範囲は ${bound} です。`,
  lost: (name, most, path, least) =>
    `「${name}」はそのランクで最も近いものです。失われたのは ‖ΔW‖ の最大 ${most}（${path}）、最小 ${least} です。`,
  lostTable: '小さいランクで失われたもの',

  next: '次に来るもの',
  nextHelp: '重みを動かして見てください。数は確率で、毎回計算し直しています。',
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
