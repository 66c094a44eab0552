import { dropout, foldIn, type Tensor } from '@bax/core';
import type { Context, Module } from '../module.ts';

/** Dropout in a module: off without a key, and with another mask for every step and path. */
export const dropped = (x: Tensor, p: number, owner: Module, { key }: Context): Tensor =>
  key && p > 0 ? dropout(x, { p, key: foldIn(key, owner.path) }) : x;
