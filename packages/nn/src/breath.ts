/** How long a loop may go on before it lets timers, messages, signals and the page have their turn. */
const BREATH_MS = 30;

/** To be awaited in each round of a long loop: once in a while it gives the event loop a turn. */
export function breather(): () => Promise<void> {
  let last = performance.now();
  return async () => {
    if (performance.now() - last < BREATH_MS) return;
    await macrotask();
    last = performance.now();
  };
}

/**
 * Resolves in a later turn of the event loop. Not a timer: pages in the background have theirs slowed to one
 * a second.
 */
async function macrotask(): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  await new Promise<void>((resolve) => {
    port1.onmessage = () => resolve();
    port2.postMessage(undefined);
  });
  port1.close();
}
