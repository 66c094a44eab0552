/** A peer's module, or the reason that its row shows instead of numbers. */
export async function load<T>(importing: () => Promise<T>): Promise<T> {
  try {
    return await importing();
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND')
      throw new Error('not installed: npm run bench:peers', { cause: error });
    throw error;
  }
}
