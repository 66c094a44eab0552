/** All of bax: what the page asks for is done here, one task after another, so that the page never waits. */
import { serve } from '../../app/calls.ts';
import { carrying } from './carry.ts';
import { firstSteps } from './first-steps.ts';
import { writing } from './generate.ts';
import { hood } from './hood.ts';
import { learned } from './learned.ts';
import { learning } from './learners.ts';
import { merging } from './merged.ts';
import { opening } from './model.ts';
import { shelving } from './shelf.ts';
import type { Tasks } from './tasks.ts';
import { teaching } from './teach.ts';
import { writingTogether } from './together.ts';

serve<Tasks>({
  ...opening,
  ...firstSteps,
  ...learned,
  ...learning,
  ...merging,
  ...writing,
  ...shelving,
  ...teaching,
  ...writingTogether,
  ...carrying,
  ...hood,
});
