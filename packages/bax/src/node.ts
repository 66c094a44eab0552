/** Files and folders, in Node: browsers use `memoryFolder` or bring a `Folder` of their own. */
export * from '@bax/nn/node';
