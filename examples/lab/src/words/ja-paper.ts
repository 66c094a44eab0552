/** What the packages say of the paper's tables, in Japanese. */
export const paper: Readonly<Record<string, string>> = {
  'Table 10 says r = 8; 4.7M is the count of r = 16, which the released scripts have':
    '表 10 では r = 8 ですが、4.7M は r = 16 の数で、公開スクリプトは r = 16 です',
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
  'smaller than all weights': '全パラメータに対する小ささ',
  'at 4.7M parameters, r = 1, it is 37,142': '4.7M 個（r = 1）なら 37,142',
  'a hundred tasks with LoRA': 'LoRA で 100 タスク',
  'a hundred tasks without': 'LoRA なしで 100 タスク',
};
