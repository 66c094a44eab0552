/** One base and many adapters: trained, weighed, negated, added up, side by side in a batch, kept and carried. */
import type { JSX } from 'preact';
import { Expected } from '../parts/adapters/expected.tsx';
import { Import } from '../parts/adapters/import.tsx';
import { KeepLearned } from '../parts/adapters/keep-learned.tsx';
import { KeptAdapters } from '../parts/adapters/shelf.tsx';
import { Sizes } from '../parts/adapters/sizes.tsx';
import { Teach } from '../parts/adapters/teach.tsx';
import { Together } from '../parts/adapters/together.tsx';
import { ViewFrame } from '../parts/view-frame.tsx';
import { shelf } from '../shelf.ts';
import { words } from '../words/index.ts';

export function Adapters(): JSX.Element {
  const hasSome = shelf.value.adapters.length > 0;
  return (
    <ViewFrame
      name="adapters"
      lesson="lesson-4"
      source="lora-model"
      formulas={[String.raw`W' = W + \sum_i w_i \, \tfrac{\alpha_i}{r_i} B_i A_i`]}
    >
      <h3>{words().shelf.teachTitle}</h3>
      <Teach />
      <KeepLearned id="adapters" />
      <Import />
      <KeptAdapters />
      {hasSome && <Expected />}
      {hasSome && <Together />}
      <Sizes />
    </ViewFrame>
  );
}
