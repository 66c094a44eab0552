/** Turns ids into text as they come. The pieces, joined, are the text of all the ids. */
export interface StreamDecoder {
  /** The text that `id` completes; '' while a character is still in the making. */
  push(id: number): string;
  /** What was held back, and the end: an unfinished character is shown as U+FFFD. Ready for another text after it. */
  flush(): string;
}

const UNFINISHED = '\ufffd';

/**
 * A stream decoder on top of `decode`. A token may end within a character, and `decode` shows such an end as U+FFFD; so
 * text that ends in one waits for the next id. The ids of the piece before are decoded again together with the new
 * ones, because some decoders treat the first token of a text differently (they drop its space).
 */
export function streamDecoder(decode: (ids: readonly number[]) => string): StreamDecoder {
  let before: number[] = [];
  let waiting: number[] = [];

  function take(partial: boolean): string {
    const known = decode(before);
    const text = decode([...before, ...waiting]);
    if (!partial && text.endsWith(UNFINISHED)) return '';
    const piece = text.slice(known.length);
    if (piece !== '' || partial) {
      before = waiting;
      waiting = [];
    }
    return piece;
  }

  return {
    push(id) {
      waiting.push(id);
      try {
        return take(false);
      } catch (error) {
        waiting.pop();
        throw error;
      }
    },
    flush() {
      const rest = take(true);
      before = [];
      return rest;
    },
  };
}
