/** Where a random case lies in what fast-check draws. */
export interface Place {
  readonly seed: number;
  /** fast-check's path, from the first case that failed to the smallest. */
  readonly path: string;
}

/** A law that does not hold. The message says which, where, and with which numbers, so that it can be acted on as it is. */
export class CheckError extends Error {
  override readonly name: string = 'CheckError';
  /** The smallest random case on which it does not hold, if random cases were drawn. */
  readonly place: Place | undefined;

  constructor(message: string, options: ErrorOptions & { readonly place?: Place | undefined } = {}) {
    super(message, options);
    this.place = options.place;
  }
}

/** Nothing could be checked: the function has a kink (relu at 0, a tie of max) in every direction that was tried. */
export class KinkError extends CheckError {
  override readonly name = 'KinkError';
}

/** An error's message; of one that no law and no op threw, its kind too. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const expected = error instanceof CheckError || error.name === 'BaxError' || error.name === 'Error';
  return expected ? error.message : `${error.name}: ${error.message}`;
}

/**
 * The error of the law `law`: who was tried, what must hold, what came instead, and a line to paste that does it again.
 * `again` is the call up to its options: `await checkBackend(backend, `.
 */
export function lawError(who: string, law: string, again: string, error: unknown): CheckError {
  const place = error instanceof CheckError ? error.place : undefined;
  const options = [`only: ${JSON.stringify(law)}`];
  if (place) options.push(`seed: ${place.seed}`, `path: '${place.path}'`);
  const replay = `${again}{ ${options.join(', ')} });`;
  return new CheckError(`${who}: ${law}: ${messageOf(error)}\n  replay   ${replay}`, { cause: error, place });
}
