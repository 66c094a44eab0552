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
  declare readonly place?: Place;

  constructor(message: string, options: ErrorOptions & { readonly place?: Place | undefined } = {}) {
    super(message, options);
    if (options.place) this.place = options.place;
  }
}

/** Nothing could be checked: the function has a kink (relu at 0, a tie of max) in every direction that was tried. */
export class KinkError extends CheckError {
  override readonly name = 'KinkError';
}

/** A law of which nothing can be said, since what it watches does not work, of which another law speaks. */
export class UntriedError extends CheckError {}

/** Whether a law was not tried, also where its error was wrapped to say more. */
export const isUntried = (error: unknown): boolean =>
  error instanceof UntriedError || (error instanceof CheckError && error.cause instanceof UntriedError);

/** An error's message; of one that no law and no op threw, its kind too. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const expected = error instanceof CheckError || error.name === 'BaxError' || error.name === 'Error';
  return expected ? error.message : `${error.name}: ${error.message}`;
}

/** What a function gave that should have given a tensor, in words. */
export const kindOf = (y: unknown): string =>
  typeof (y as { then?: unknown } | null | undefined)?.then === 'function' ? 'a Promise' : Array.isArray(y) ? 'a list of other things' : typeof y; // prettier-ignore

/** Whose law was broken, which, and how to try it again. */
export interface Broken {
  /** The backend, the op, the model. */
  readonly who: string;
  /** The law's name, for `only`. */
  readonly law: string;
  /** The law in words, if the name is not these. */
  readonly says?: string;
  /** The call up to its last options: `await checkBackend(backend, { `. */
  readonly again: string;
  /** Whether the call is of one law, and takes no `only`. */
  readonly alone?: boolean;
}

/** The error of a law: what must hold, what came instead, for which smallest case, and a line to paste that does it again. */
export function lawError({ who, law, says, again, alone = false }: Broken, error: unknown): CheckError {
  const [place, cause] = error instanceof CheckError ? [error.place, error.cause] : [undefined, error];
  const options = alone ? [] : [`only: ${JSON.stringify(law)}`];
  if (place) options.push(`seed: ${place.seed}`, `path: '${place.path}'`);
  const came = messageOf(error);
  const head = says === undefined ? `${who}: ${law}: ${came}` : `${who}: ${law}: ${says}\n  but      ${came}`; // prettier-ignore
  return new CheckError(`${head}\n  replay   ${again}${options.join(', ')} });`, { cause, place });
}
