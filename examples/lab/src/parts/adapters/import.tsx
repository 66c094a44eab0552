/** Adapters from elsewhere. What is wrong with them is said at the top of the page. */
import { useState } from 'preact/hooks';
import type { JSX } from 'preact';
import { isBusy, opened } from '../../lab.ts';
import { importFiles } from '../../shelf.ts';
import { words } from '../../words/index.ts';

export function Import(): JSX.Element {
  const [imported, setImported] = useState<Awaited<ReturnType<typeof importFiles>>>(undefined);
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
            setImported(undefined);
            if (files.length > 0) void importFiles(files).then(setImported);
          }}
        />
      </span>
      <p aria-live="polite">
        {imported && [say.imported(imported.name), ...imported.warnings.map(say.warned)].join(' ')}
      </p>
    </div>
  );
}
