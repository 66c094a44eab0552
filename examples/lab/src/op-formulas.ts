/** What each op of a training step computes, and the gradient of each of its inputs: as formulas, and where it is written. */
import type { Source } from './sources.ts';

export interface OpFormula {
  /** Of the inputs, in their order. */
  readonly symbols: (inputs: number) => readonly string[];
  readonly y: string;
  /** What the gradients' rules speak of beside g and the inputs. */
  readonly where?: string;
  /** One for each symbol, the branch's number aside: ∂loss/∂input of g = ∂loss/∂y. */
  readonly gradients: Readonly<Record<string, string>>;
  readonly source: Source;
}

const op = (stem: string, at: string, load: Source['load']): { source: Source } => ({
  source: { file: `packages/core/src/ops/${stem}.ts`, at, load },
});
const elementwise = (name: string): { source: Source } =>
  op(
    'elementwise',
    `export const ${name}:`,
    async () => import('../../../packages/core/src/ops/elementwise.ts?raw'),
  );
const view = (name: string): { source: Source } =>
  op('view', `export const ${name}Op:`, async () => import('../../../packages/core/src/ops/view.ts?raw'));

const x = (): readonly string[] => ['x'];

export const OP_FORMULAS: Readonly<Record<string, OpFormula>> = {
  loraLinear: {
    symbols(inputs) {
      const branches = Math.floor((inputs - 2) / 3);
      const numbered = (i: number): string[] =>
        ['z', 'A', 'B'].map((s) => (branches > 1 ? `${s}_${i + 1}` : s));
      const all = ['x', 'W', ...Array.from({ length: branches }, (_, i) => numbered(i)).flat()];
      return inputs > all.length ? [...all, 'b'] : all;
    },
    y: String.raw`y = W x + b + \textstyle\sum_i s\, B_i (A_i z_i)`,
    where: String.raw`s = \tfrac{\alpha}{r},\; z_i = x`,
    gradients: {
      x: String.raw`W^{\top} g`,
      W: String.raw`g\, x^{\top}`,
      z: String.raw`s\, A^{\top} B^{\top} g`,
      A: String.raw`s\, B^{\top} g\, z^{\top}`,
      B: String.raw`s\, g\, (A z)^{\top}`,
      b: String.raw`\textstyle\sum g`,
    },
    ...op(
      'lora-linear',
      'export const loraLinearOp:',
      async () => import('../../../packages/core/src/ops/lora-linear.ts?raw'),
    ),
  },
  linear: {
    symbols: (inputs) => ['x', 'W', 'b'].slice(0, inputs),
    y: 'y = W x + b',
    gradients: { x: String.raw`W^{\top} g`, W: String.raw`g\, x^{\top}`, b: String.raw`\textstyle\sum g` },
    ...op(
      'linear',
      'export const linearOp:',
      async () => import('../../../packages/core/src/ops/linear.ts?raw'),
    ),
  },
  layerNorm: {
    symbols: () => ['x', 'w', 'b'],
    y: String.raw`y = w \circ u + b,\quad u = \frac{x - \operatorname{mean}(x)}{\sigma}`,
    where: String.raw`h = g \circ w`,
    gradients: {
      x: String.raw`\tfrac{1}{\sigma} \bigl(h - \operatorname{mean}(h) - u \circ \operatorname{mean}(h \circ u)\bigr)`,
      w: String.raw`\textstyle\sum g \circ u`,
      b: String.raw`\textstyle\sum g`,
    },
    ...op(
      'layer-norm',
      'export const layerNormOp:',
      async () => import('../../../packages/core/src/ops/layer-norm.ts?raw'),
    ),
  },
  attention: {
    symbols: (inputs) => ['q', 'k', 'v', 'm'].slice(0, inputs),
    y: String.raw`y = P v,\quad P = \operatorname{softmax}\Bigl(\frac{q k^{\top}}{\sqrt{d}}\Bigr)`,
    where: String.raw`D = g v^{\top},\; S = \tfrac{1}{\sqrt{d}}\, P \circ (D - \operatorname{rowsum}(D \circ P))`,
    gradients: { q: 'S k', k: String.raw`S^{\top} q`, v: String.raw`P^{\top} g`, m: '0' },
    ...op(
      'attention',
      'export const attentionOp:',
      async () => import('../../../packages/core/src/ops/attention.ts?raw'),
    ),
  },
  crossEntropy: {
    symbols: () => ['z', 't'],
    y: String.raw`y = -\tfrac{1}{n} \textstyle\sum_i \log \operatorname{softmax}(z_i)_{t_i}`,
    gradients: {
      z: String.raw`\tfrac{g}{n} \bigl(\operatorname{softmax}(z) - \operatorname{onehot}(t)\bigr)`,
      t: '0',
    },
    ...op(
      'cross-entropy',
      'export const crossEntropyOp:',
      async () => import('../../../packages/core/src/ops/cross-entropy.ts?raw'),
    ),
  },
  add: { symbols: () => ['a', 'b'], y: 'y = a + b', gradients: { a: 'g', b: 'g' }, ...elementwise('add') },
  gelu: {
    symbols: x,
    y: String.raw`y = \tfrac{x}{2} \Bigl(1 + \tanh\bigl(\sqrt{2/\pi}\,(x + 0.044715\, x^3)\bigr)\Bigr)`,
    gradients: { x: String.raw`g \circ y'(x)` },
    ...elementwise('gelu'),
  },
  copy: { symbols: x, y: 'y = x', gradients: { x: 'g' }, ...elementwise('copy') },
  reshape: {
    symbols: x,
    y: String.raw`y = \operatorname{reshape}(x)`,
    gradients: { x: String.raw`\operatorname{reshape}(g)` },
    ...view('reshape'),
  },
  permute: {
    symbols: x,
    y: String.raw`y_{i,j,\dots} = x_{\pi(i,j,\dots)}`,
    gradients: { x: String.raw`g_{\pi^{-1}(i,j,\dots)}` },
    ...view('permute'),
  },
  slice: {
    symbols: x,
    y: String.raw`y = x_{[a,\, b)}`,
    gradients: { x: String.raw`(0, \dots, g, \dots, 0)` },
    ...view('slice'),
  },
};

/** The rule for an input by its symbol: z₂ is one as z is. */
export const gradientOf = ({ gradients }: OpFormula, symbol: string): string | undefined =>
  gradients[symbol.split('_')[0]];

/** z_2 as z₂. */
export const plain = (symbol: string): string =>
  symbol.replace(/_(\d)/, (_, digit: string) => String.fromCharCode(0x2080 + Number(digit)));
