/** What a link restores: all that is chosen on the page, but a text of one's own, which stays in this browser. */

/** The texts that come with the lab, by file; `own` is the user's. */
export const TEXTS = ['moby-dick', 'early-presidents', 'recent-presidents', 'own'] as const;
/** Those whose training part the base has read. */
export const READ_TEXTS: readonly Settings['text'][] = ['early-presidents', 'recent-presidents'];
export const TARGETS = ['q', 'k', 'v', 'attn.c_proj', 'c_fc', 'mlp.c_proj'] as const;

/** Models that adapters are counted for. */
export const COUNTED = ['base', 'gpt2', 'gpt2-medium', 'gpt3'] as const;

export interface Settings {
  readonly text: (typeof TEXTS)[number];
  readonly r: number;
  readonly alpha: number;
  readonly targets: readonly (typeof TARGETS)[number][];
  readonly seed: number;
  /** Learning rates of LoRA and of full fine-tuning. */
  readonly lr: number;
  readonly fullLr: number;
  readonly batch: number;
  readonly context: number;
  readonly prompt: string;
  readonly tokens: number;
  readonly temperature: number;
  readonly counted: (typeof COUNTED)[number];
  /** Of the adapter that is compared with the one that learned. */
  readonly otherR: number;
  readonly otherSeed: number;
}

/** The smallest and largest that a number may be, in whole steps if it says so. */
export interface Limits {
  readonly least: number;
  readonly most: number;
  readonly whole: boolean;
}
export const LIMITS = {
  r: { least: 1, most: 64, whole: true },
  alpha: { least: 0.1, most: 1024, whole: false },
  seed: { least: 0, most: 2 ** 31 - 1, whole: true },
  lr: { least: 0, most: 1, whole: false },
  fullLr: { least: 0, most: 1, whole: false },
  batch: { least: 1, most: 32, whole: true },
  context: { least: 8, most: 128, whole: true },
  tokens: { least: 1, most: 120, whole: true },
  temperature: { least: 0, most: 2, whole: false },
  otherR: { least: 1, most: 64, whole: true },
  otherSeed: { least: 0, most: 2 ** 31 - 1, whole: true },
} as const satisfies Record<string, Limits>;
/** Of steps that are asked for at a time. */
export const STEPS: Limits = { least: 1, most: 10_000, whole: true };
export type NumberField = keyof typeof LIMITS;

export const DEFAULTS: Settings = {
  text: 'moby-dick',
  r: 8,
  alpha: 16,
  targets: TARGETS,
  seed: 1,
  lr: 0.005,
  fullLr: 0.001,
  batch: 4,
  context: 64,
  prompt: 'The whale',
  tokens: 40,
  temperature: 0.7,
  counted: 'base',
  otherR: 16,
  otherSeed: 2,
};

const isOne = <T extends string>(all: readonly T[], value: string): value is T =>
  (all as readonly string[]).includes(value);

/** The number, if it may be that, or undefined. */
export function numberWithin({ least, most, whole }: Limits, text: string): number | undefined {
  const n = Number(text);
  return text.trim() !== '' && n >= least && n <= most && (!whole || Number.isInteger(n)) ? n : undefined;
}

/** Of what a link or this browser holds, what is valid; the defaults for the rest. */
export function settingsOf(query: URLSearchParams): Settings {
  const [text, counted, targets] = [
    query.get('text'),
    query.get('counted'),
    query.get('targets')?.split(','),
  ];
  const numbers = Object.keys(LIMITS).flatMap((field) => {
    const n = numberWithin(LIMITS[field as NumberField], query.get(field) ?? '');
    return n === undefined ? [] : [[field, n]];
  });
  return {
    ...DEFAULTS,
    ...(text !== null && isOne(TEXTS, text) && { text }),
    ...(counted !== null && isOne(COUNTED, counted) && { counted }),
    ...(targets?.every((t) => isOne(TARGETS, t)) && { targets: targets as Settings['targets'] }),
    ...(query.has('prompt') && { prompt: query.get('prompt')!.slice(0, 2000) }),
    ...Object.fromEntries(numbers),
  };
}

/** What differs from the defaults: a short link. */
export function queryOf(settings: Settings): URLSearchParams {
  const query = new URLSearchParams();
  for (const [field, value] of Object.entries(settings)) {
    const text = Array.isArray(value) ? value.join(',') : String(value);
    if (text !== String(DEFAULTS[field as keyof Settings])) query.set(field, text);
  }
  return query;
}
