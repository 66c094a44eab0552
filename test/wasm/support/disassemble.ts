/** Bytes read by an independent tool, WABT: what the assembler says is not taken from itself. */
import wabt from 'wabt';

const tool = await wabt();

/** The module's text. Whether it is valid is for the engine to say: the tool's own check knows no shared memory. */
export function disassemble(bytes: Uint8Array): string {
  const module = tool.readWasm(bytes, { simd: true, relaxed_simd: true, threads: true, bulk_memory: true });
  try {
    return module.toText({});
  } finally {
    module.destroy();
  }
}

/** The instructions of the module's functions, one after the other, without comments. */
export function instructionsOf(bytes: Uint8Array): string[] {
  const text = disassemble(bytes).replace(/ *\(;.*?;\)/g, '');
  // A function's lines: `(func (type 0) (param i32)`, `(local i32)`, then an instruction a line, and its own `)` on the last.
  return text
    .split('\n')
    .filter((line) => /^ {4,}[a-z]/.test(line))
    .map((line) => {
      const code = line.trim();
      return code.split('(').length < code.split(')').length ? code.replace(/\)+$/, '') : code;
    });
}
