/** What runs in the page, or in its worker. */
import { checkBackend, type CheckReport } from '@bax/check';
import { isSupported, wasm } from '@bax/wasm';

export interface Wanted {
  readonly threads?: number;
  readonly only: string;
}
/** Plain data: it is posted. */
export interface Outcome {
  readonly supported: boolean;
  readonly isolated: boolean;
  /** Whether it ran on a page's main thread. */
  readonly main: boolean;
  readonly report?: CheckReport;
  readonly error?: string;
}

export async function runSuite({ threads, only }: Wanted): Promise<Outcome> {
  const where = {
    supported: isSupported(),
    isolated: crossOriginIsolated,
    main: typeof document !== 'undefined',
  };
  try {
    const backend = await wasm(threads === undefined ? {} : { threads });
    const report = await checkBackend(backend, { only });
    backend.close();
    return { ...where, report };
  } catch (error) {
    return { ...where, error: error instanceof Error ? error.message : String(error) };
  }
}
