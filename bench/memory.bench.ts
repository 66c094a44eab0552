/** Whether training leaks: the live bytes after each step, which must stay those after the first. */
import { TINY } from './gpt.ts';
import { openTrainer, ways, type Way } from './lora.bench.ts';
import { say, type Suite } from './options.ts';
import { kinds, type Engine } from './ours.ts';
import type { Row } from './table.ts';

const STEPS = 50;

export const run: Suite = async () => {
  say(`memory: ${STEPS} steps`);
  const rows: Row[] = [];
  for (const engine of kinds) for (const way of ways) rows.push(await watch(engine, way));
  return rows;
};

async function watch(engine: Engine, way: Way): Promise<Row> {
  const backend = await engine.open();
  const { step } = await openTrainer(backend, way, TINY);
  // Nothing is awaited in between: the garbage collector's net under scopes and grad() gets no turn to help.
  const live = Array.from({ length: STEPS }, () => {
    step().dispose();
    return backend.memory().live;
  });
  const { buffers, pooled } = backend.memory();
  backend.close?.();
  const growth = Math.max(...live) - live[0]!;
  return {
    case: `live bytes over ${STEPS} steps, ${engine.name}`,
    who: way.name,
    value: `${live.at(-1)} B`,
    note: `${growth === 0 ? 'constant' : `GROWS by ${growth} B`}; ${buffers} buffers, ${pooled} B pooled`,
  };
}
