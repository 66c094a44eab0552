import { showShape } from './shape.ts';
import { tapeOf, type TapeRecord } from './tape.ts';
import type { Tensor } from './tensor.ts';

/**
 * The tape of a loss as text, a line a call: `%3 = matmul(%1 [2, 3], parameter [3, 4]) -> [2, 4]  transformer.h.0.attn`.
 * `%n` is the n-th call, `parameter` has requiresGrad, `constant` has no gradient.
 */
export function explain(loss: Tensor): string {
  const records = tapeOf(loss);
  if (records.length === 0)
    return 'no tape: nothing that requires a gradient led here, or grad() consumed it';
  const number = new Map(records.map((r, i) => [r, i]));
  const name = (x: Tensor, source: TapeRecord<Tensor> | undefined): string =>
    source ? `%${number.get(source)}` : x.requiresGrad ? 'parameter' : 'constant';
  return records
    .map((r, n) => {
      const inputs = r.inputs.map((x, i) => `${name(x, r.sources[i])} ${showShape(x.shape)}`).join(', ');
      return `%${n} = ${r.op.name}(${inputs}) -> ${r.outputs.map((y) => showShape(y.shape)).join(', ')}${r.path && `  ${r.path}`}`;
    })
    .join('\n');
}
