/** The tape as a tree, for keys and ears: arrows walk, and a call is looked at when it is reached. */
import { useRef } from 'preact/hooks';
import type { JSX } from 'preact';
import type { Tape } from '../../../worker/hood-tasks.ts';
import { choose, chosen, groupsOf, moduleOf, openGroups, times, toggle } from '../../hood.ts';
import { words } from '../../words/index.ts';
import { milliseconds } from './milliseconds.ts';

export function TapeTree({ tape: { calls } }: { readonly tape: Tape }): JSX.Element {
  const { hood } = words();
  const tree = useRef<HTMLUListElement>(null);
  const groups = groupsOf(calls);
  const items = (): HTMLElement[] => [...tree.current!.querySelectorAll<HTMLElement>('[role=treeitem]')];
  const go = (to: HTMLElement | undefined): void => {
    to?.focus();
    if (to?.dataset.call) chosen.value = Number(to.dataset.call);
  };
  const onKey = (event: KeyboardEvent): void => {
    const all = items();
    const here = (event.target as HTMLElement).closest<HTMLElement>('[role=treeitem]')!;
    const { group } = here.dataset;
    const isOpen = group !== undefined && openGroups.value.has(group);
    const at = all.indexOf(here);
    const parent = all.slice(0, at + 1).findLast(({ dataset }) => dataset.group !== undefined);
    const keys: Readonly<Record<string, () => void>> = {
      ArrowDown: () => go(all[at + 1]),
      ArrowUp: () => go(all[at - 1]),
      Home: () => go(all[0]),
      End: () => go(all.at(-1)),
      ArrowRight: () => (group !== undefined && !isOpen ? toggle(group, true) : go(all[at + 1])),
      ArrowLeft: () => (isOpen ? toggle(group, false) : go(parent)),
      Enter: () => group !== undefined && toggle(group),
      ' ': () => group !== undefined && toggle(group),
    };
    if (!Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  };
  const isShown = groups.some(
    ({ key, calls: own }) => openGroups.value.has(key) && own.includes(chosen.value),
  );
  return (
    <ul class="tree" role="tree" aria-label={hood.tree} ref={tree} onKeyDown={onKey}>
      {groups.map(({ key, calls: own }, n) => {
        const isOpen = openGroups.value.has(key);
        return (
          <li
            key={key}
            role="treeitem"
            aria-expanded={isOpen}
            aria-selected={false}
            data-group={key}
            tabIndex={!isShown && n === 0 ? 0 : -1}
          >
            <span onClick={() => toggle(key)}>
              {key === 'end' ? hood.end : key} <small>{hood.calls(String(own.length))}</small>
            </span>
            {isOpen && (
              <ul role="group">
                {own.map((i) => (
                  <li
                    key={i}
                    role="treeitem"
                    aria-selected={chosen.value === i}
                    data-call={i}
                    tabIndex={chosen.value === i ? 0 : -1}
                    onClick={() => choose(i)}
                  >
                    <span>
                      {i} <b>{calls[i].op}</b> <small>{moduleOf(calls[i])}</small>
                      {times.value && <small class="time">{milliseconds(times.value.calls[i])}</small>}
                    </span>
                  </li>
                ))}
              </ul>
            )}
          </li>
        );
      })}
    </ul>
  );
}
