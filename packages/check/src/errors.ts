/** A law that does not hold. The message says which, where, and with which numbers, so that it can be acted on as it is. */
export class CheckError extends Error {
  override readonly name: string = 'CheckError';
}

/** Nothing could be checked: the function has a kink (relu at 0, a tie of max) in every direction that was tried. */
export class KinkError extends CheckError {
  override readonly name = 'KinkError';
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
