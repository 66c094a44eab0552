import * as nn from '@bax/nn';

type Nn = typeof nn;
declare global {
  // A global of the page, which tests reach by `evaluate`.
  var nn: Nn; // oxlint-disable-line no-var
}
globalThis.nn = nn;
