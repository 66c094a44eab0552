/** A line of the source, shown where it is spoken of. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { ComponentChildren, JSX } from 'preact';
import { type Source, SOURCES, type SourceName } from '../sources.ts';
import { words } from '../words/index.ts';

export interface SourceLinkProps {
  readonly name: SourceName;
  readonly children: string;
}
export const SourceLink = ({ name, children }: SourceLinkProps): JSX.Element => (
  <CodeLink source={SOURCES[name]}>
    {children}: <code>{SOURCES[name].file.split('/').at(-1)}</code>
  </CodeLink>
);

export interface CodeLinkProps {
  readonly source: Source;
  readonly children: ComponentChildren;
}
export function CodeLink({ source: { file, at, load }, children }: CodeLinkProps): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const [lines, setLines] = useState<readonly string[]>([]);
  const marked = at === undefined ? -1 : lines.findIndex((line) => line.includes(at));
  useEffect(() => dialog.current?.querySelector('mark')?.scrollIntoView({ block: 'center' }), [lines]);
  const show = async (): Promise<void> => {
    setLines((await load()).default.split('\n'));
    dialog.current?.showModal();
  };
  return (
    <>
      <button type="button" class="link" onClick={() => void show()}>
        {children}
      </button>
      <dialog ref={dialog} class="source" aria-label={file}>
        <form method="dialog">
          <b>{file}</b> <button>{words().close}</button>
        </form>
        <pre tabIndex={0}>
          {lines.map((line, i) => (i === marked ? <mark key={i}>{`${line}\n`}</mark> : `${line}\n`))}
        </pre>
      </dialog>
    </>
  );
}
