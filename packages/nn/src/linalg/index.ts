/** Small dense linear algebra in f64 on the host. Nothing here touches a device. */
export {
  absolute,
  at,
  firstColumns,
  frobenius,
  inner,
  matrix,
  plus,
  rowsOf,
  scaled,
  times,
  turned,
  type Matrix,
} from './matrix.ts';
export { qr, type Qr } from './qr.ts';
export { rankOf, singularValues } from './singular-values.ts';
export { lowRank, svd, svdOfProduct, type Svd } from './svd.ts';
export { truncatedSvd } from './truncated-svd.ts';
