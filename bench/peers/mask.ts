/** Added to attention's scores [T, T]: 0 where a query may look, −1e9 where not. */
export const causalMask = (T: number): Float32Array =>
  Float32Array.from({ length: T * T }, (_, at) => (at % T <= Math.floor(at / T) ? 0 : -1e9));
