/** One base with many adapters, and as many whole models: their bytes to one scale. */
import type { JSX } from 'preact';
import { opened } from '../../lab.ts';
import { shelf } from '../../shelf.ts';
import { bytes, number, words } from '../../words/index.ts';
import { CsvButton } from '../csv-button.tsx';

interface Part {
  readonly name: string;
  readonly bytes: number;
  readonly isBase: boolean;
}

export function Sizes(): JSX.Element | null {
  const model = opened.value;
  const { adapters } = shelf.value;
  if (!model || adapters.length === 0) return null;
  const say = words().shelf;
  const base = { name: say.base, bytes: model.bytes, isBase: true };
  const small = adapters.map((kept) => ({ name: kept.name, bytes: kept.bytes, isBase: false }));
  const whole = adapters.map(({ name }) => ({ ...base, name }));
  const sum = (parts: readonly Part[]): number => parts.reduce((n, part) => n + part.bytes, 0);
  const most = Math.max(sum([base, ...small]), sum(whole));
  const count = number(adapters.length);
  const bar = (title: string, parts: readonly Part[]): JSX.Element => (
    <figure>
      <figcaption>
        {title}: {bytes(sum(parts))}
      </figcaption>
      <div
        class="bar"
        role="img"
        aria-label={`${title}: ${parts.map((part) => `${part.name} ${bytes(part.bytes)}`).join(', ')}`}
      >
        {parts.map((part) => (
          <span
            key={part.name}
            class={part.isBase ? 'base' : 'own'}
            style={{ width: `${(100 * part.bytes) / most}%` }}
            title={`${part.name}: ${bytes(part.bytes)}`}
          />
        ))}
      </div>
    </figure>
  );
  return (
    <>
      <h3>
        {say.sizes}{' '}
        <CsvButton
          name={say.sizes}
          table={() => [[say.name, say.bytes], ...[base, ...small].map((part) => [part.name, part.bytes])]}
        />
      </h3>
      {bar(say.oneBase(count), [base, ...small])}
      {bar(say.wholeModels(count), whole)}
      <p>{say.sizesAre(bytes(base.bytes), bytes(sum(small)), bytes(sum(whole)))}</p>
    </>
  );
}
