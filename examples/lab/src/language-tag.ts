/**
 * Some systems give a browser a language that is no language tag ("en-US@posix"), of which Intl throws; uPlot asks with it
 * as it is loaded. Imported before all else.
 */
try {
  Intl.getCanonicalLocales(navigator.language);
} catch {
  Object.defineProperty(navigator, 'language', { value: 'en' });
}
