import { type Shape } from './shape.ts';

const LINE = 8;

/** Nested brackets with four significant digits; long axes are cut in the middle. */
export function showValues(shape: Shape, values: ArrayLike<number>): string {
  const show = (axis: number, offset: number, span: number): string => {
    if (axis === shape.length) return showNumber(values[offset]!);
    const length = shape[axis]!;
    const inner = length === 0 ? 0 : span / length;
    const parts: string[] = [];
    for (let i = 0; i < length; i++) {
      if (length > LINE && i === LINE / 2) {
        parts.push('…');
        i = length - LINE / 2;
      }
      parts.push(show(axis + 1, offset + i * inner, inner));
    }
    return `[${parts.join(axis === shape.length - 1 ? ', ' : `,\n${' '.repeat(axis + 1)}`)}]`;
  };
  return show(0, 0, values.length);
}

const showNumber = (x: number): string =>
  Number.isInteger(x) && Math.abs(x) < 1e6 ? `${x}` : x.toPrecision(4);
