/** A formula, as KaTeX sets it; a screen reader hears its MathML. */
import katex from 'katex';
import 'katex/dist/katex.min.css';
import type { JSX } from 'preact';

export function Tex({
  children,
  block = false,
}: {
  readonly children: string;
  readonly block?: boolean;
}): JSX.Element {
  const __html = katex.renderToString(children, {
    displayMode: block,
    output: 'htmlAndMathml',
    throwOnError: true,
  });
  return block ? (
    <div class="formula" dangerouslySetInnerHTML={{ __html }} />
  ) : (
    <span dangerouslySetInnerHTML={{ __html }} />
  );
}
