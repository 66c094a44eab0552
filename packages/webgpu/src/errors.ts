import { BaxError } from '@bax/core';

/** What went wrong on the device. After `lost` nothing runs on it any more: open another and go on from a checkpoint. */
export type Fault = 'lost' | 'out-of-memory' | 'validation' | 'shader';

/** Which call of the backend failed. */
export interface Place {
  /** The op, as `apply` labels it. */
  readonly op: string;
  /** The module that ran, e.g. `transformer.h.1.attn.c_attn`; empty outside of any. */
  readonly path: string;
  /** `[2, 3] [3, 4] -> [2, 4]`; empty where no tensors are involved. */
  readonly shapes: string;
}

/** A fault of the device. It comes with the first `read` after the call that failed, which `place` names. */
export class GpuError extends BaxError {
  readonly fault: Fault;
  readonly place: Place | undefined;
  readonly #what: string;
  constructor(fault: Fault, message: string, place?: Place, options?: ErrorOptions) {
    super(`webgpu: ${message}${place ? describe(place) : ''}`, options);
    this.#what = message;
    this.fault = fault;
    this.place = place;
  }
  /** The same fault of one call. */
  at(place: Place): GpuError {
    return new GpuError(this.fault, this.#what, place);
  }
}

const describe = ({ op, path, shapes }: Place): string =>
  `\n  in ${[op, shapes].filter(Boolean).join(' ')}${path === '' ? '' : `\n  at ${path}`}`;
