/** What the paper prints, beside what its formulas give. */
import type { JSX } from 'preact';
import type { Judged, PaperCount } from 'bax';
import { choose, settings } from '../lab.ts';
import { useCount } from '../counts.ts';
import { type Settings } from '../settings.ts';
import { bytes, number, words } from '../words/index.ts';
import { CsvButton, type Table } from './csv-button.tsx';
import { TableHead } from './table-head.tsx';

/** The paper's rows that the calculator can be set to. */
const MODELS: Readonly<Record<string, Settings['counted']>> = { 'GPT-2 M': 'gpt2-medium', 'GPT-3': 'gpt3' };
function choiceOf({ method, model, what, r }: PaperCount): Pick<Settings, 'counted' | 'targets' | 'r'> | undefined {
  const counted = MODELS[model];
  if (method !== 'LoRA' || !counted || r === undefined) return undefined;
  const targets = what.split(', ').map((name) => (name === 'o' ? 'attn.c_proj' : name)) as Settings['targets'];
  return { counted, targets, r };
} // prettier-ignore
const isChosen = (choice: ReturnType<typeof choiceOf>): boolean =>
  choice !== undefined &&
  Object.entries(choice).every(([name, x]) => String(settings.value[name as 'r']) === String(x));

const printedOf = ({ text, where }: Judged): string => `${text} (${words().formula.paper.say(where)})`;
const verdict = ({ agrees, off }: Judged): string => {
  const { verdicts } = words().formula.paper;
  return agrees === 'differs' ? verdicts.differs(`${off > 0 ? '+' : '−'}${number(100 * Math.abs(off), 2)} %`) : verdicts[agrees]; // prettier-ignore
};

interface Row {
  readonly cells: readonly (string | number)[];
  readonly shown: readonly (string | JSX.Element)[];
  readonly differs: boolean;
  readonly chosen?: boolean;
}

function PaperTable({
  title,
  head,
  rows,
}: {
  title: string;
  head: readonly string[];
  rows: readonly Row[];
}): JSX.Element {
  const table = (): Table => [head, ...rows.map(({ cells }) => cells)];
  return (
    <div class="scroll tall" tabIndex={0} role="region" aria-label={title}>
      <table>
        <caption>
          {title} <CsvButton name={title} table={table} />
        </caption>
        <TableHead names={head} />
        <tbody>
          {rows.map(({ shown, differs, chosen }, i) => (
            <tr key={i} class={differs ? 'added' : undefined} aria-current={chosen ? 'true' : undefined}>
              {shown.map((cell, j) => (
                <td key={j}>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function PaperTables(): JSX.Element {
  const { value } = useCount('paper', undefined);
  const { paper } = words().formula;
  if (!value) return <p>…</p>;
  const counts = value.counts.map((row): Row => {
    const { method, model, what, r, count, printed, note } = row;
    const choice = choiceOf(row);
    const prints = printed.map(printedOf).join('; ');
    const judged = printed.map(verdict).join('; ');
    const said = note === undefined ? '' : paper.say(note);
    const rest = [r ?? '', count, prints, judged, said];
    const button = choice && (
      <button type="button" class="link" aria-pressed={isChosen(choice)} onClick={() => choose(choice)}>
        {what}
      </button>
    );
    return {
      cells: [paper.methods[method], model, paper.say(what), ...rest],
      shown: [
        paper.methods[method],
        model,
        button ?? paper.say(what),
        ...rest.map((x) => (typeof x === 'number' ? number(x) : x)),
      ],
      differs: printed.some(({ agrees }) => agrees === 'differs'),
      chosen: isChosen(choice),
    };
  });
  const memory = value.memory.map(({ what, how, value: n, unit, printed, note }): Row => {
    const words = [
      printed ? printedOf(printed) : '',
      printed ? verdict(printed) : '',
      note === undefined ? '' : paper.say(note),
    ];
    return {
      cells: [paper.say(what), how, n, ...words],
      shown: [paper.say(what), how, unit === 'bytes' ? bytes(n) : `${number(n, 4)} ×`, ...words],
      differs: printed?.agrees === 'differs',
    };
  });
  const differing = counts.filter(({ differs }) => differs).length;
  return (
    <section>
      <h3>{paper.title}</h3>
      <p>{paper.help(number(counts.length), number(differing))}</p>
      <PaperTable title={paper.counts} head={paper.countHead} rows={counts} />
      <PaperTable title={paper.memory} head={paper.memoryHead} rows={memory} />
    </section>
  );
}
