export { crc32 } from './crc32.ts';
export { httpFolder, type HttpFolderOptions } from './http.ts';
export * from './json.ts';
export * from './memory.ts';
export { opfsFolder, opfsFolders, removeOpfsFolder, type OpfsFolderOptions } from './opfs.ts';
export {
  loadAdapter,
  type LoadedAdapter,
  readAdapter,
  type ReadAdapter,
  type ReadAdapterOptions,
} from './peft-load.ts';
export { saveAdapter, type SaveAdapterOptions, type SavedAdapter } from './peft-save.ts';
export {
  openSafetensors,
  openSafetensorsIn,
  type FloatArrays,
  type Safetensors,
  type SafetensorsTensor,
} from './safetensors.ts';
export type {
  SafetensorsArrays,
  SafetensorsDtype,
  SafetensorsEntry,
  SafetensorsHeader,
} from './safetensors-header.ts';
export * from './safetensors-write.ts';
export { blobSource, bytesSource, checkFileName } from './source.ts';
export type { ByteSource, Chunks, Folder, WritableFolder } from './source.ts';
export * from './bpe-train.ts';
export * from './stream-decoder.ts';
export * from './tokenizer.ts';
