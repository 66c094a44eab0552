/** The small GPT in TensorFlow.js: its layers library has no attention, so it is written in its ops. */
import type { Stepper, Task } from '../tasks.ts';
import { causalMask } from './mask.ts';
import { openTfjs, type Tf, type TfjsBackend } from './tfjs.ts';

type Tensor = InstanceType<Tf['Tensor']>;
type Get = (path: string) => Tensor;

export async function tfjsStepper(backend: TfjsBackend, task: Task): Promise<Stepper> {
  const tf = await openTfjs(backend);
  const { size, adamW, weights, batch } = task;
  const variables = new Map(
    [...weights].map(([path, { shape, data }]) => [
      path,
      tf.variable(tf.tensor(data, shape), true, `${backend}.${path}`),
    ]),
  );
  const all = [...variables.values()];
  const get: Get = (path) => variables.get(path)!;
  const ids = tf.tensor(batch.ids, [batch.ids.length], 'int32');
  const targets = tf.cast(
    tf.oneHot(tf.tensor(batch.targets, [batch.targets.length], 'int32'), size.vocab),
    'float32',
  );
  // The wasm backend has no gradient of a lookup: there it is a product with one-hot rows (2 % more operations).
  const oneHot = tf.cast(tf.oneHot(ids, size.vocab), 'float32');
  const embed = (table: Tensor): Tensor =>
    backend === 'cpu' ? tf.gather(table, ids) : tf.matMul(oneHot, table);
  const mask = tf.tensor(causalMask(size.context), [size.context, size.context]);
  const optimizer = tf.train.adam(adamW.lr, ...adamW.betas, adamW.eps);
  return {
    async step() {
      await tf.setBackend(backend);
      const loss = tf.tidy(() => {
        const { value, grads } = tf.variableGrads(
          () =>
            targets
              .mul(logits(tf, get, task, embed, mask).logSoftmax())
              .sum(-1)
              .mean()
              .neg(),
          all,
        );
        for (const v of all) v.assign(v.mul(1 - adamW.lr * adamW.weightDecay)); // its Adam has no weight decay
        optimizer.applyGradients(grads);
        return value;
      });
      const [number] = await loss.data();
      loss.dispose();
      return { loss: number! };
    },
  };
}

/** [B · T, vocab] */
function logits(tf: Tf, get: Get, task: Task, embed: (table: Tensor) => Tensor, mask: Tensor): Tensor {
  const { batch: B, context: T, heads: H, width: d, layers } = task.size;
  const linear = (x: Tensor, path: string): Tensor =>
    tf.matMul(x, get(`${path}.weight`)).add(get(`${path}.bias`)); // [B · T, out]
  const norm = (x: Tensor, path: string): Tensor => {
    const { mean, variance } = tf.moments(x, -1, true);
    const unit = x.sub(mean).div(variance.add(task.layerNormEps).sqrt());
    return unit.mul(get(`${path}.weight`)).add(get(`${path}.bias`));
  };
  const attention = (x: Tensor, path: string): Tensor => {
    const qkv = linear(x, `${path}.c_attn`).reshape([B, T, 3, H, d / H]);
    const [q, k, v] = tf.split(qkv, 3, 2).map((part) => part.squeeze([2]).transpose([0, 2, 1, 3])); // [B, H, T, D]
    const scores = tf
      .matMul(q!, k!, false, true)
      .mul(1 / Math.sqrt(d / H))
      .add(mask); // [B, H, T, T]
    const y = tf.matMul(scores.softmax(-1), v!).transpose([0, 2, 1, 3]);
    return linear(y.reshape([B * T, d]), `${path}.c_proj`);
  };
  let x = embed(get('transformer.wte.weight')).reshape([B, T, d]).add(get('transformer.wpe.weight'));
  x = x.reshape([B * T, d]);
  for (let i = 0; i < layers; i++) {
    const path = `transformer.h.${i}`;
    x = x.add(attention(norm(x, `${path}.ln_1`), `${path}.attn`));
    const inner = gelu(linear(norm(x, `${path}.ln_2`), `${path}.mlp.c_fc`));
    x = x.add(linear(inner, `${path}.mlp.c_proj`));
  }
  return tf.matMul(norm(x, 'transformer.ln_f'), get('lm_head.weight'), false, true);
}

const gelu = (x: Tensor): Tensor => {
  const cubic = x.mul(x).mul(x).mul(0.044715);
  return x.mul(0.5).mul(
    x
      .add(cubic)
      .mul(Math.sqrt(2 / Math.PI))
      .tanh()
      .add(1),
  );
};
