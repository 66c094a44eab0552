import type { CallTime } from '../../../worker/hood-tasks.ts';
import { number } from '../../words/index.ts';

export const total = ({ forward = 0, backward = 0 }: CallTime): number => forward + backward;
/** Of both directions; a dash where the device is not asked. */
export const milliseconds = (time: CallTime): string =>
  time.forward === undefined && time.backward === undefined ? '–' : `${number(total(time), 3)} ms`;
