/** The lines of this repository that the views speak of, and the lessons: found by what is written there, so that they move with it. */

export interface Source {
  /** From the repository's root. */
  readonly file: string;
  /** Stands in one line of the file alone. */
  readonly at?: string;
  readonly load: () => Promise<{ readonly default: string }>;
}

export const SOURCES = {
  'lora-linear': {
    file: 'packages/nn/src/lora/adapted.ts',
    at: 'class AdaptedLayer',
    load: async () => import('../../../packages/nn/src/lora/adapted.ts?raw'),
  },
  count: {
    file: 'packages/nn/src/analysis/count.ts',
    at: 'export function countLora(',
    load: async () => import('../../../packages/nn/src/analysis/count.ts?raw'),
  },
  spectrum: {
    file: 'packages/nn/src/analysis/spectrum.ts',
    at: 'export function spectrum(',
    load: async () => import('../../../packages/nn/src/analysis/spectrum.ts?raw'),
  },
  amplification: {
    file: 'packages/nn/src/analysis/amplification.ts',
    at: 'export function amplification(',
    load: async () => import('../../../packages/nn/src/analysis/amplification.ts?raw'),
  },
  similarity: {
    file: 'packages/nn/src/analysis/similarity.ts',
    at: 'export function similarityGrid(',
    load: async () => import('../../../packages/nn/src/analysis/similarity.ts?raw'),
  },
  'first-steps': {
    file: 'examples/lab/worker/first-steps.ts',
    at: 'const [dA, dB] = grad(',
    load: async () => import('../worker/first-steps.ts?raw'),
  },
  learners: {
    file: 'examples/lab/worker/learners.ts',
    at: 'train({',
    load: async () => import('../worker/learners.ts?raw'),
  },
  merge: {
    file: 'packages/nn/src/lora/changed-rows.ts',
    at: 'export function changedRows(',
    load: async () => import('../../../packages/nn/src/lora/changed-rows.ts?raw'),
  },
  'lora-model': {
    file: 'packages/nn/src/lora/lora-model.ts',
    at: 'activate(which:',
    load: async () => import('../../../packages/nn/src/lora/lora-model.ts?raw'),
  },
  'backward-walk': {
    file: 'packages/core/src/grad.ts',
    at: 'if (!leads.has(x)) return;',
    load: async () => import('../../../packages/core/src/grad.ts?raw'),
  },
  'lesson-2': {
    file: 'examples/learn/02-the-tape.ts',
    at: ' * Lesson 2: ',
    load: async () => import('../../learn/02-the-tape.ts?raw'),
  },
  'lesson-3': {
    file: 'examples/learn/03-a-layer.ts',
    at: ' * Lesson 3: ',
    load: async () => import('../../learn/03-a-layer.ts?raw'),
  },
  'lesson-4': {
    file: 'examples/learn/04-lora-in-50-lines.ts',
    at: ' * Lesson 4: ',
    load: async () => import('../../learn/04-lora-in-50-lines.ts?raw'),
  },
  'lesson-5': {
    file: 'examples/learn/05-the-first-steps.ts',
    at: ' * Lesson 5: ',
    load: async () => import('../../learn/05-the-first-steps.ts?raw'),
  },
  'lesson-6': {
    file: 'examples/learn/06-merge-and-its-bound.ts',
    at: ' * Lesson 6: ',
    load: async () => import('../../learn/06-merge-and-its-bound.ts?raw'),
  },
  'lesson-7': {
    file: 'examples/learn/07-rank-and-which-matrices.ts',
    at: ' * Lesson 7: ',
    load: async () => import('../../learn/07-rank-and-which-matrices.ts?raw'),
  },
} as const satisfies Readonly<Record<string, Source>>;
export type SourceName = keyof typeof SOURCES;
