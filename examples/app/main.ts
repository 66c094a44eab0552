/** The page: it asks and shows; its worker loads, writes and learns. */
import type { DeviceName } from 'bax';
import { connect, STOPPED, TaskError } from './calls.ts';
import type { Tasks } from './tasks.ts';

const call = connect<Tasks>(new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' }));

function find<E extends Element>(id: string, type: new () => E): E {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${type.name} '${id}'`);
  return found;
}
const show = (id: string, text: string): void => void (find(id, HTMLElement).textContent = text);
const input = (id: string): HTMLInputElement => find(id, HTMLInputElement);
const textarea = (id: string): string => find(id, HTMLTextAreaElement).value;
const count = (n: number): string => n.toLocaleString('en');

let loaded = false;
/** Training that would be lost. */
let unsaved = false;
const mayLose = (): boolean => !unsaved || confirm('The adapter in use is not saved. Go on without it?');
addEventListener('beforeunload', (event) => unsaved && event.preventDefault());

/** Runs one task with everything else at rest: `f` may say how it stands, be stopped, and fail. */
async function act(what: string, f: (signal: AbortSignal) => Promise<string>): Promise<void> {
  const stop = new AbortController();
  const button = find('stop', HTMLButtonElement);
  button.onclick = () => stop.abort();
  find('error', HTMLElement).hidden = true;
  rest(true);
  show('status', `${what} …`);
  try {
    show('status', await f(stop.signal));
  } catch (error) {
    const { message } = error as Error;
    const isStopped = error instanceof TaskError && error.fault === STOPPED;
    show('status', isStopped ? `${what}: stopped.` : `${what}: failed.`);
    show('error', message);
    find('error', HTMLElement).hidden = isStopped;
  } finally {
    rest(false);
  }
}
function rest(busy: boolean): void {
  for (const fieldset of document.querySelectorAll('fieldset'))
    fieldset.disabled = busy || (!loaded && fieldset.form?.id !== 'open');
  for (const button of document.querySelectorAll<HTMLButtonElement>('#kept button')) button.disabled = busy;
  find('stop', HTMLButtonElement).hidden = !busy;
  find('progress', HTMLProgressElement).hidden = true;
}
function progress(done: number, text: string): void {
  const bar = find('progress', HTMLProgressElement);
  bar.hidden = false;
  bar.value = done;
  show('status', text);
}
/** What a form does when it is sent. */
const on = (form: string, what: string, f: (signal: AbortSignal) => Promise<string>): void =>
  find(form, HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    void act(what, f);
  });
function inUse(text: string, isUnsaved = false): void {
  show('used', text);
  unsaved = isUnsaved;
}
const NONE = 'none, the model as it is';

input('model').value = new URL('base/', document.baseURI).href;
on('open', 'Loading the model', async (signal) => {
  if (!mayLose()) return 'Nothing was changed.';
  const mb = (n: number): string => (n / 1e6).toFixed(1);
  // `?device=wasm` chooses where to compute; `?device=webgpu&software` also takes a GPU that is none, for tests.
  const query = new URLSearchParams(location.search);
  const result = await call(
    'open',
    {
      model: new URL(input('model').value, document.baseURI).href,
      device: (query.get('device') ?? 'auto') as DeviceName,
      software: query.has('software'),
    },
    { signal, on: ({ done, total }) => progress(done / total, `${mb(done)} of ${mb(total)} MB`) },
  );
  loaded = true;
  show('opened', `${count(result.parameters)} parameters on ${result.device}`);
  inUse(NONE);
  return 'The model is loaded.';
});

on('write', 'Writing', async (signal) => {
  const prompt = textarea('prompt');
  show('written', prompt);
  await call(
    'generate',
    { prompt, tokens: input('tokens').valueAsNumber, temperature: input('temperature').valueAsNumber },
    { signal, on: (piece) => find('written', HTMLElement).append(piece) },
  );
  return signal.aborted ? 'Writing: stopped.' : 'Written.';
});

on('teach', 'Teaching', async (signal) => {
  const steps = input('steps').valueAsNumber;
  const losses: number[] = [];
  const before = find('used', HTMLElement).textContent;
  const result = await call(
    'train',
    { text: textarea('text'), steps },
    {
      signal,
      on({ step, loss, secondsLeft }) {
        losses.push(loss);
        drawLoss(losses, steps);
        inUse(
          before === NONE ? 'a new one, not saved' : `${before.replace(/, .*/, '')}, taught more, not saved`,
          true,
        );
        progress((step + 1) / steps, `Step ${step + 1} of ${steps}, loss ${loss.toFixed(2)}, ${Math.ceil(secondsLeft)} s left`); // prettier-ignore
      },
    },
  );
  return `${signal.aborted ? 'Stopped' : 'Taught'}: ${result.steps} of ${steps} steps.`;
});

function drawLoss(losses: readonly number[], steps: number): void {
  const [least, most] = [Math.min(...losses), Math.max(...losses)];
  const y = (loss: number): number => 39 - (38 * (loss - least)) / Math.max(most - least, 1e-3);
  const points = losses.map((loss, i) => `${(100 * i) / Math.max(1, steps - 1)},${y(loss)}`);
  document.querySelector('#curve polyline')?.setAttribute('points', points.join(' '));
  const [first, last] = [losses[0].toFixed(2), losses.at(-1)!.toFixed(2)];
  show('loss', `Loss ${first} at first, ${last} now: how much your text surprises it, in nats a token.`);
}

on('save', 'Saving', async (signal) => {
  const name = input('name').value.trim();
  const names = await call('list', undefined);
  if (names.includes(name) && !confirm(`Replace the adapter '${name}'?`)) return 'Nothing was changed.';
  const { bytes } = await call('save', name, { signal });
  inUse(name);
  await list();
  return `Saved '${name}', ${count(bytes)} bytes.`;
});

const load = (name: string, from: { stored: string } | { url: string } | undefined) => async (signal: AbortSignal): Promise<string> => {
  if (!mayLose()) return 'Nothing was changed.';
  const { warnings } = await call('load', from, { signal });
  inUse(name);
  return [`In use: ${name}.`, ...warnings].join(' ');
}; // prettier-ignore
on('fetch', 'Loading the adapter', async (signal) => {
  const url = new URL(input('url').value, document.baseURI).href;
  return load(url, { url })(signal);
});
find('detach', HTMLButtonElement).onclick = () => void act('Taking the adapter off', load(NONE, undefined));

/** Shows what is kept in this browser. */
async function list(): Promise<void> {
  const names = await call('list', undefined);
  find('kept', HTMLUListElement).replaceChildren(
    ...names.map((name) => {
      const item = document.createElement('li');
      const label = document.createElement('span');
      label.textContent = name;
      item.append(label);
      const button = (text: string, what: string, f: (signal: AbortSignal) => Promise<string>): void => {
        const element = document.createElement('button');
        element.textContent = text;
        element.setAttribute('aria-label', `${text} ${name}`);
        element.onclick = () => void act(what, f);
        item.append(element);
      };
      button('Load', 'Loading the adapter', load(name, { stored: name }));
      button('Export', 'Exporting', async () => {
        download(`${name}.zip`, await call('export', name));
        return `Exported '${name}': a PEFT directory.`;
      });
      button('Delete', 'Deleting', async () => {
        if (!confirm(`Delete the adapter '${name}'?`)) return 'Nothing was changed.';
        await call('remove', name);
        await list();
        return `Deleted '${name}'.`;
      });
      return item;
    }),
  );
}

function download(name: string, bytes: Uint8Array<ArrayBuffer>): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([bytes], { type: 'application/zip' }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

await act('Looking for adapters', async () => {
  await list();
  return 'Ready.';
});
