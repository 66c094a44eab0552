/** A formula, as KaTeX sets it; a screen reader hears its MathML. */
import katex from 'katex';
import 'katex/dist/katex.min.css';
import type { JSX } from 'preact';

export function Tex({ children }: { readonly children: string }): JSX.Element {
  const __html = katex.renderToString(children, { output: 'htmlAndMathml', throwOnError: true });
  return <span dangerouslySetInnerHTML={{ __html }} />;
}
