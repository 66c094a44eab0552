#!/usr/bin/env node
const { main } = await import('@bax/check/node').catch((error) => {
  const unbuilt =
    error.code === 'ERR_MODULE_NOT_FOUND' && /^Cannot find module '[^']*[\\/]dist[\\/]/.test(error.message);
  if (!unbuilt) throw error;
  process.stderr.write('bax-check: it is not built yet; in its repository, do npm run build first\n');
  process.exit(2);
});

process.exitCode = await main(process.argv.slice(2), {
  out: (text) => process.stdout.write(`${text}\n`),
  err: (text) => process.stderr.write(`${text}\n`),
});
