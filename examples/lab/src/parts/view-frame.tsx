/** What every view has: its idea, what to look for, its formula, and where it is done. */
import type { ComponentChildren, JSX } from 'preact';
import { type ViewName } from '../lab.ts';
import type { SourceName } from '../sources.ts';
import { words } from '../words/index.ts';
import { SourceLink } from './source-link.tsx';
import { Tex } from './tex.tsx';

export interface ViewFrameProps {
  readonly name: ViewName;
  /** Side by side where there is room. */
  readonly formulas: readonly string[];
  readonly lesson: SourceName & `lesson-${number}`;
  readonly source: SourceName;
  readonly children: ComponentChildren;
}

export function ViewFrame({ name, formulas, lesson, source, children }: ViewFrameProps): JSX.Element {
  const { name: title, idea, look } = words().views[name];
  return (
    <section class="view" aria-labelledby={`view-${name}`}>
      <h2 id={`view-${name}`} tabIndex={-1}>
        {title}
      </h2>
      <p class="idea">{idea}</p>
      <p class="formulas">
        {formulas.map((formula) => (
          <Tex key={formula}>{`\\displaystyle ${formula}`}</Tex>
        ))}
      </p>
      <p class="look">
        <b>{words().lookFor}:</b> {look}
      </p>
      <p class="row links">
        <SourceLink name={lesson}>{words().lesson}</SourceLink>
        <SourceLink name={source}>{words().source}</SourceLink>
      </p>
      {children}
    </section>
  );
}
