import { apply, defineOp, div, mul, type Op, tanh, type Tensor } from 'bax';

interface Cap {
  readonly cap: number;
}

/** An op of our own, with a gradient rule of our own. Its `domain` says what calls are valid: `checkOp` draws them. */
export const softcapOp: Op<Cap> = defineOp<Cap>({
  name: 'softcap',
  domain: (draw) => ({
    inputs: [{ shape: draw.shape(), range: [-4, 4] }],
    attrs: { cap: draw.pick([1, 2, 5]) },
  }),
  out: ([x]) => [{ shape: x.shape, dtype: x.dtype }],
  compose: ([x], { cap }) => mul(tanh(div(x, cap)), cap),
  vjp: ({ g, y, attrs: { cap } }) => {
    const t = div(y, cap);
    return mul(g, mul(t, t).neg().add(1)); // 1 − tanh²
  },
});

/** cap · tanh(x / cap): x where it is small, and never beyond ±cap. https://arxiv.org/abs/2408.00118 §2 */
export const softcap = (x: Tensor, cap: number): Tensor => apply(softcapOp, [x], { cap });
