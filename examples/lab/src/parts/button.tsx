/** A button that does not lose the focus: while it is off it takes no clicks, and when it goes its heir has the focus. */
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { ComponentProps, JSX } from 'preact';

export interface ButtonProps extends Omit<ComponentProps<'button'>, 'disabled' | 'ref'> {
  readonly isOff: boolean;
  /** The id of what the focus goes to: what comes in the button's place, or the heading above. */
  readonly heir?: string;
}

export function Button({ isOff, heir, onClick, ...rest }: ButtonProps): JSX.Element {
  const self = useRef<HTMLButtonElement>(null);
  useLayoutEffect(() => {
    const button = self.current;
    return () => {
      if (heir === undefined || document.activeElement !== button) return;
      queueMicrotask(() => document.getElementById(heir)?.focus()); // when it is there
    };
  }, [heir]);
  return (
    <button
      {...rest}
      ref={self}
      aria-disabled={isOff}
      onClick={(event) => (isOff ? event.preventDefault() : onClick?.(event))}
    />
  );
}
