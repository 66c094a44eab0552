/** A module's sections. https://webassembly.github.io/spec/core/binary/modules.html */
import { type Callable, type Func, type Import, typeCode } from './code.ts';
import { unsigned } from './leb128.ts';

/** The most that 32-bit addresses reach, in pages of 64 KiB. */
export const MAX_PAGES = 65536;
export const PAGE = 65536;

export interface ModuleSpec {
  /** Every module works on one imported memory, `host.memory`. */
  readonly sharedMemory: boolean;
  readonly imports?: readonly Import[];
  /** The first is exported under its name. */
  readonly functions: readonly Func[];
}

const SECTION = { type: 1, import: 2, function: 3, export: 7, code: 10 } as const;
const MAGIC_AND_VERSION = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]; // "\0asm", 1

const sized = (bytes: readonly number[]): number[] => [...unsigned(bytes.length), ...bytes];
const vector = (items: readonly (readonly number[])[]): number[] => [
  ...unsigned(items.length),
  ...items.flat(),
];
const text = (value: string): number[] => sized([...new TextEncoder().encode(value)]);
const section = (id: number, items: readonly (readonly number[])[]): number[] => [
  id,
  ...sized(vector(items)),
];

/** The bytes of a module: what `WebAssembly.Module` takes. */
export function assemble({ sharedMemory, imports = [], functions }: ModuleSpec): Uint8Array<ArrayBuffer> {
  const callables: readonly Callable[] = [...imports, ...functions];
  const indexOf = (f: Callable): number => {
    const index = callables.indexOf(f);
    if (index < 0) throw new Error(`wasm: ${f.name} is called but is not in the module`);
    return index;
  };
  const signature = ({ params, result }: Callable): number[] => [
    0x60,
    ...vector(params.map((type) => [typeCode[type]])),
    ...vector(result ? [[typeCode[result]]] : []),
  ];
  const signatures = callables.map(signature);
  const distinct = [...new Map(signatures.map((s) => [s.join(), s])).values()];
  const typeOf = (f: Callable): number[] =>
    unsigned(distinct.findIndex((s) => s.join() === signatures[indexOf(f)].join()));

  const limits = [sharedMemory ? 0x03 : 0x01, ...unsigned(1), ...unsigned(MAX_PAGES)]; // at least 1 page, at most all
  const exported = functions[0];
  return Uint8Array.from([
    ...MAGIC_AND_VERSION,
    ...section(SECTION.type, distinct),
    ...section(SECTION.import, [
      [...text('host'), ...text('memory'), 0x02, ...limits],
      ...imports.map((f) => [...text('host'), ...text(f.name), 0x00, ...typeOf(f)]),
    ]),
    ...section(SECTION.function, functions.map(typeOf)),
    ...section(SECTION.export, [[...text(exported.name), 0x00, ...unsigned(indexOf(exported))]]),
    ...section(SECTION.code, functions.map((f) => sized(f.encode(indexOf)))),
  ]); // prettier-ignore
}
