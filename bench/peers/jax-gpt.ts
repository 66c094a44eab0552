/** The small GPT in jax-js: the whole step, AdamW included, is one jitted function. */
import type { Stepper, Task } from '../tasks.ts';
import { openJax, type Jax } from './jax.ts';
import { causalMask } from './mask.ts';

type Array_ = ReturnType<Jax['numpy']['array']>;

export async function jaxStepper(task: Task): Promise<Stepper> {
  const jax = await openJax('wasm');
  const { numpy: np } = jax;
  const { adamW, weights, batch, size } = task;
  const [beta1, beta2] = adamW.betas;
  const names = [...weights.keys()];
  const zeros = (): Array_[] => [...weights.values()].map(({ shape }) => np.zeros(shape));
  let params = [...weights.values()].map(({ shape, data }) => np.array(data).reshape(shape));
  let [m, v] = [zeros(), zeros()];
  const tokens = (data: Int32Array): Array_ => np.array(data, { dtype: np.int32 });
  const [ids, targets] = [tokens(batch.ids), tokens(batch.targets)];
  const loss = (p: Array_[], x: Array_, y: Array_): Array_ => {
    const hits = jax.nn.oneHot(y, size.vocab).mul(jax.nn.logSoftmax(logits(jax, names, p, x, task), -1));
    return hits.sum(-1).mean().neg();
  };
  // Functions consume what they are given; `ref` is for a second use.
  const update = jax.jit(
    (p: Array_[], m0: Array_[], v0: Array_[], x: Array_, y: Array_, bias1: Array_, bias2: Array_) => {
      const [value, grads] = jax.valueAndGrad(loss)(p.map((t) => t.ref), x, y); // prettier-ignore
      const m1 = m0.map((t, i) => t.mul(beta1).add(grads[i]!.ref.mul(1 - beta1)));
      const v1 = v0.map((t, i) => t.mul(beta2).add(np.square(grads[i]!).mul(1 - beta2)));
      const next = p.map((t, i) => {
        const spread = np.sqrt(v1[i]!.ref.div(bias2.ref)).add(adamW.eps);
        const move = m1[i]!.ref.div(bias1.ref).div(spread).mul(adamW.lr);
        return t.mul(1 - adamW.lr * adamW.weightDecay).sub(move);
      });
      for (const t of [bias1, bias2]) t.dispose();
      return [value, next, m1, v1] as const;
    },
  );
  let steps = 0;
  return {
    async step() {
      steps++;
      const [bias1, bias2] = [np.array(1 - beta1 ** steps), np.array(1 - beta2 ** steps)];
      const [value, ...state] = update(params, m, v, ids.ref, targets.ref, bias1, bias2);
      [params, m, v] = state;
      await jax.blockUntilReady(state);
      return { loss: (await value.data())[0]! };
    },
  };
}

/** [B · T, vocab] */
function logits(
  { numpy: np, nn }: Jax,
  names: readonly string[],
  p: Array_[],
  ids: Array_,
  task: Task,
): Array_ {
  const { batch: B, context: T, heads: H, width: d, layers } = task.size;
  const get = (path: string): Array_ => p[names.indexOf(path)]!; // each is used once
  const linear = (x: Array_, path: string): Array_ =>
    np.matmul(x, get(`${path}.weight`)).add(get(`${path}.bias`));
  const norm = (x: Array_, path: string): Array_ =>
    nn
      .standardize(x, -1, { epsilon: task.layerNormEps })
      .mul(get(`${path}.weight`))
      .add(get(`${path}.bias`));
  // Its own dotProductAttention needs iterator helpers, which Node 20 has not.
  const mask = np.array(causalMask(T)).reshape([T, T]);
  const attention = (x: Array_, path: string): Array_ => {
    const qkv = linear(x, `${path}.c_attn`).reshape([B, T, 3, H, d / H]);
    const [q, k, v] = np
      .split(qkv, 3, 2)
      .map((part) => part.reshape([B, T, H, d / H]).transpose([0, 2, 1, 3])) as [Array_, Array_, Array_]; // [B, H, T, D]
    const scores = np.matmul(q, k.transpose([0, 1, 3, 2])).mul(1 / Math.sqrt(d / H)); // [B, H, T, T]
    const y = np.matmul(nn.softmax(scores.add(mask.ref), -1), v);
    return linear(y.transpose([0, 2, 1, 3]).reshape([B * T, d]), `${path}.c_proj`);
  };
  // One-hot rows: within jit the gradient of a lookup is not compiled.
  const embedded = np
    .matmul(nn.oneHot(ids, task.size.vocab), get('transformer.wte.weight'))
    .reshape([B, T, d]);
  let x = embedded.add(get('transformer.wpe.weight')).reshape([B * T, d]);
  for (let i = 0; i < layers; i++) {
    const path = `transformer.h.${i}`;
    x = x.ref.add(attention(norm(x, `${path}.ln_1`), `${path}.attn`));
    const inner = nn.gelu(linear(norm(x.ref, `${path}.ln_2`), `${path}.mlp.c_fc`), { approximate: true });
    x = x.add(linear(inner, `${path}.mlp.c_proj`));
  }
  mask.dispose();
  return np.matmul(norm(x, 'transformer.ln_f'), get('lm_head.weight').transpose());
}
