/** Adapters from elsewhere. What is wrong with them is said at the top of the page. */
import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { isBusy, opened } from '../../lab.ts';
import { importFiles } from '../../shelf.ts';
import { words } from '../../words/index.ts';

/** What stays while another view is open. */
const last = signal<Awaited<ReturnType<typeof importFiles>>>(undefined);

export function Import(): JSX.Element {
  const imported = last.value;
  const say = words().shelf;
  return (
    <div class="row">
      <span class="field">
        <label for="import">{say.import}</label>
        <input
          id="import"
          type="file"
          multiple
          accept=".zip,.json,.safetensors"
          disabled={isBusy.value || !opened.value}
          onChange={({ currentTarget }) => {
            const files = [...(currentTarget.files ?? [])];
            currentTarget.value = ''; // the same files may be chosen again
            last.value = undefined;
            if (files.length > 0) void importFiles(files).then((next) => (last.value = next));
          }}
        />
      </span>
      <p aria-live="polite">
        {imported && [say.imported(imported.name), ...imported.warnings.map(say.warned)].join(' ')}
      </p>
    </div>
  );
}
