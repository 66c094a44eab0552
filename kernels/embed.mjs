// node kernels/embed.mjs
// Writes every kernel of this folder into packages/webgpu/src/wgsl.generated.ts: its source, where each field of its
// `struct Params` lies, and how it uses its bindings. So no loader is needed in Node or in a bundler, and a parameter that
// the host forgets is a type error.
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const target = join(here, '../packages/webgpu/src/wgsl.generated.ts');

/** Size and alignment of what a uniform may hold. https://www.w3.org/TR/WGSL/#alignment-and-size */
const TYPES = {
  u32: { size: 4, align: 4, host: 'number' },
  i32: { size: 4, align: 4, host: 'number' },
  f32: { size: 4, align: 4, host: 'number' },
  vec2u: { size: 8, align: 8, host: 'Numbers' },
  vec4u: { size: 16, align: 16, host: 'Numbers' },
  vec4i: { size: 16, align: 16, host: 'Numbers' },
};

const camel = (name) => name.replace(/[-/](\w)/g, (_, letter) => letter.toUpperCase());
const pascal = (name) => camel(name).replace(/^\w/, (letter) => letter.toUpperCase());

function parse(file) {
  const path = relative(here, file).split(sep).join('/');
  const source = readFileSync(file, 'utf8');
  const fail = (message) => {
    throw new Error(`kernels/${path}: ${message}`);
  };
  const body = /struct Params \{([^}]*)\}/.exec(source)?.[1];
  if (body === undefined) fail('has no struct Params');
  let end = 0;
  const fields = [...body.replace(/\/\/.*/g, '').matchAll(/(\w+)\s*:\s*(\w+)/g)].map(([, name, type]) => {
    const known = TYPES[type];
    if (!known) fail(`Params.${name} is ${type}; a parameter is one of ${Object.keys(TYPES).join(', ')}`);
    const at = Math.ceil(end / known.align) * known.align;
    end = at + known.size;
    return { name, type, at };
  });
  const bindings = [
    ...source.matchAll(/@group\(0\)\s*@binding\((\d+)\)\s*var<(\w+)(?:,\s*(\w+))?>\s*(\w+)/g),
  ];
  bindings.forEach(([, index, space], i) => {
    if (Number(index) !== i || (space === 'uniform') !== (i === 0))
      fail('bindings are 0 = the uniform p, then inputs, then outputs, without gaps');
  });
  const stored = bindings.slice(1).map(([, , , access, name]) => ({ name, access: access ?? 'read' }));
  const overrides = [...source.matchAll(/^override (\w+)\s*(?::\s*\w+)?/gm)].map(([, name]) => name);
  return {
    path,
    source,
    fields,
    size: Math.ceil(end / 16) * 16,
    stored,
    overrides,
    name: path.replace(/\.wgsl$/, ''),
  };
}

const files = readdirSync(here, { recursive: true })
  .filter((file) => file.endsWith('.wgsl'))
  .sort()
  .map((file) => parse(join(here, file)));

const lines = [
  '// Made by kernels/embed.mjs from kernels/*.wgsl; do not edit.',
  "import type { Kernel, Numbers } from './kernel.ts';",
];
for (const { name, fields, path, source, size, stored, overrides } of files) {
  const type = `${pascal(name)}Params`;
  const layout = fields.map((f) => `${f.name}: ['${f.type}', ${f.at}]`).join(', ');
  const variations = overrides.map((o) => `'${o}'`).join(' | ') || 'never';
  lines.push(
    '',
    `export interface ${type} {`,
    ...fields.map((f) => `  readonly ${f.name}: ${TYPES[f.type].host};`),
    '}',
    `export const ${camel(name)}: Kernel<${type}, ${variations}> = {`,
    `  file: 'kernels/${path}',`,
    `  params: { ${layout} },`,
    `  size: ${size},`,
    `  bindings: [${stored.map((b) => `'${b.access}'`).join(', ')}],`,
    `  source: ${JSON.stringify(source)},`,
    '};',
  );
}
const text = `${lines.join('\n')}\n`;
if (!existsSync(target) || readFileSync(target, 'utf8') !== text) {
  const beside = `${target}.${process.pid}`;
  writeFileSync(beside, text);
  renameSync(beside, target); // whole or not at all: several processes may do this at once
}
