/** Files and folders, in Node: browsers use `httpFolder`, `opfsFolder` and `memoryFolder`. */
export * from '@bax/nn/node';
