/** The words of memory by which the threads agree: indices into the Int32Array at `CONTROL`. worker.js repeats them. */
export const CONTROL = 64;
/** Raised for each job: workers sleep on it. */
export const JOB = 0;
/** 1 while the job's units may be claimed. */
export const OPEN = 1;
/** Workers that are at the job. */
export const ACTIVE = 2;
/** The first unit that nobody has claimed. */
export const NEXT = 3;
export const UNITS = 4;
/** Units that are claimed together. */
export const CHUNK = 5;
/** The job's kernel, by its place in the table. */
export const KERNEL = 6;
/** Where the threads' scratch begins, and the bytes of each one's. */
export const SCRATCH = 7;
export const SCRATCH_BYTES = 8;
/** Workers whose kernel trapped. */
export const FAILED = 9;
/** 1: workers end. */
export const STOP = 10;
/** Where the table of kernels is: address and length of each one's module. */
export const TABLE = 11;
export const CONTROL_BYTES = 64;
